/* Resizing by AVX-512: a weight is three signed digits of base 256, and the processor adds up the
   products of four bytes and four such digits at once (VNNI), modulo 2^32. */

#include "resample_wide.h"

#include <stdlib.h>
#include <string.h>

#ifdef WIDE

#include <immintrin.h>

enum { FOUR = 4, DIGITS = 3, LINE = 64 };
/* Half of the last place, in units of the highest digit: it is shifted with that. */
enum { HALF = 1 << (RESAMPLE_FRACTION - 1 - 16) };

/* Four outputs look at four taps each, all within 64 bytes of a row. */
struct taps {
    uint8_t place[LINE];         /* output, channel, tap → byte of those 64 */
    int8_t digit[DIGITS][LINE];  /* likewise, highest digit first */
    uint64_t there;              /* which of the 64 bytes are in the row */
    size_t at;                   /* where they begin in it */
};
struct wide {
    int groups, blocks; /* of four outputs, and of four taps */
    __mmask16 last;     /* bytes of the last group that are outputs */
    struct taps *taps;  /* (groups, blocks), aligned */
};

/* A weight's three digits, highest first; it has 24 bits at most. */
static void split(int32_t weight, int8_t digit[DIGITS]) {
    for (int d = DIGITS - 1; d >= 0; d--) {
        digit[d] = (int8_t)(uint8_t)(weight & 255);
        weight = (weight - digit[d]) / 256;
    }
}

static void fill(struct taps *to, const struct axis *axis, int left, size_t stride, int group,
                 int block) {
    int base = axis->first[group * FOUR];
    memset(to, 0, sizeof *to);
    to->at = (size_t)(base - left + block * FOUR) * 4;
    size_t rest = stride - to->at;
    to->there = rest < LINE ? (UINT64_C(1) << rest) - 1 : ~UINT64_C(0);
    for (int o = 0; o < FOUR && group * FOUR + o < axis->outputs; o++) {
        int output = group * FOUR + o;
        for (int k = 0; k < FOUR; k++) {
            int8_t digit[DIGITS];
            split(axis->weight[(size_t)output * (size_t)axis->taps + (size_t)(block * FOUR + k)],
                  digit);
            for (int c = 0; c < 3; c++) {
                int lane = 16 * o + 4 * c + k;
                to->place[lane] = (uint8_t)((axis->first[output] - base + k) * 4 + c);
                for (int d = 0; d < DIGITS; d++) to->digit[d][lane] = digit[d];
            }
        }
    }
}

/* Are the taps of any four outputs near enough? They are unless an image shrinks to less than a
   quarter. */
static int close_together(const struct axis *axis) {
    for (int i = 0; i < axis->outputs; i += FOUR) {
        int last = i + FOUR < axis->outputs ? i + FOUR - 1 : axis->outputs - 1;
        if ((axis->first[last] - axis->first[i] + FOUR) * 4 > LINE) return 0;
    }
    return 1;
}

struct wide *wide_make(const struct axis *axis, int left, size_t stride) {
    if (!wide_possible() || axis->taps % FOUR || !close_together(axis)) return NULL;
    int groups = (axis->outputs + FOUR - 1) / FOUR, blocks = axis->taps / FOUR;
    size_t count = (size_t)groups * (size_t)blocks;
    struct wide *wide = malloc(sizeof *wide + LINE + count * sizeof *wide->taps);
    if (!wide) return NULL;
    wide->groups = groups;
    wide->blocks = blocks;
    wide->last = (__mmask16)((1 << 3 * (axis->outputs - FOUR * (groups - 1))) - 1);
    wide->taps = (struct taps *)(((uintptr_t)(wide + 1) + LINE - 1) & ~(uintptr_t)(LINE - 1));
    for (int group = 0; group < groups; group++)
        for (int block = 0; block < blocks; block++)
            fill(&wide->taps[group * blocks + block], axis, left, stride, group, block);
    return wide;
}

WIDE static inline __m512i line(const void *at) { return _mm512_loadu_si512(at); }

/* The three sums of digits as one number, without the fraction. */
WIDE static inline __m512i together(__m512i high, __m512i middle, __m512i low) {
    __m512i all = _mm512_add_epi32(_mm512_slli_epi32(high, 8), middle);
    all = _mm512_add_epi32(_mm512_slli_epi32(all, 8), low);
    return _mm512_srai_epi32(all, RESAMPLE_FRACTION);
}

WIDE void wide_across(const struct wide *wide, const uint8_t *const from[4],
                      uint8_t *const to[4]) {
    /* Of four rows packed each output has four bytes a row: 4 r + c of lane o → 3 o + c of lane r. */
    const __m512i by_row = _mm512_add_epi8(
        _mm512_broadcast_i32x4(
            _mm_setr_epi8(0, 1, 2, 16, 17, 18, 32, 33, 34, 48, 49, 50, 0, 0, 0, 0)),
        _mm512_set_epi64(0x0c0c0c0c0c0c0c0c, 0x0c0c0c0c0c0c0c0c, 0x0808080808080808,
                         0x0808080808080808, 0x0404040404040404, 0x0404040404040404, 0, 0));
    const struct taps *taps = wide->taps;
    for (int group = 0; group < wide->groups; group++) {
        __m512i high[4], middle[4], low[4];
        for (int r = 0; r < 4; r++) {
            high[r] = _mm512_set1_epi32(HALF);
            middle[r] = low[r] = _mm512_setzero_si512();
        }
        for (int block = 0; block < wide->blocks; block++, taps++) {
            __m512i place = line(taps->place);
            __m512i first = line(taps->digit[0]), second = line(taps->digit[1]);
            __m512i third = line(taps->digit[2]);
            for (int r = 0; r < 4; r++) {
                __m512i pixels = _mm512_maskz_loadu_epi8(taps->there, from[r] + taps->at);
                pixels = _mm512_permutexvar_epi8(place, pixels);
                high[r] = _mm512_dpbusd_epi32(high[r], pixels, first);
                middle[r] = _mm512_dpbusd_epi32(middle[r], pixels, second);
                low[r] = _mm512_dpbusd_epi32(low[r], pixels, third);
            }
        }
        __m512i sum[4];
        for (int r = 0; r < 4; r++) sum[r] = together(high[r], middle[r], low[r]);
        /* Both packings saturate. */
        __m512i all = _mm512_packus_epi16(_mm512_packs_epi32(sum[0], sum[1]),
                                          _mm512_packs_epi32(sum[2], sum[3]));
        all = _mm512_permutexvar_epi8(by_row, all);
        __mmask16 there = group + 1 < wide->groups ? 0x0fff : wide->last;
        _mm_mask_storeu_epi8(to[0] + 12 * group, there, _mm512_castsi512_si128(all));
        _mm_mask_storeu_epi8(to[1] + 12 * group, there, _mm512_extracti32x4_epi32(all, 1));
        _mm_mask_storeu_epi8(to[2] + 12 * group, there, _mm512_extracti32x4_epi32(all, 2));
        _mm_mask_storeu_epi8(to[3] + 12 * group, there, _mm512_extracti32x4_epi32(all, 3));
    }
}

/* Four rows' bytes side by side: of 64 columns four registers of 16. */
WIDE static inline void side_by_side(const __m512i row[4], __m512i four[4]) {
    __m512i low01 = _mm512_unpacklo_epi8(row[0], row[1]);
    __m512i high01 = _mm512_unpackhi_epi8(row[0], row[1]);
    __m512i low23 = _mm512_unpacklo_epi8(row[2], row[3]);
    __m512i high23 = _mm512_unpackhi_epi8(row[2], row[3]);
    four[0] = _mm512_unpacklo_epi16(low01, low23);
    four[1] = _mm512_unpackhi_epi16(low01, low23);
    four[2] = _mm512_unpacklo_epi16(high01, high23);
    four[3] = _mm512_unpackhi_epi16(high01, high23);
}

WIDE void wide_down_row(const uint8_t *rows, size_t stride, const int32_t *weight, int count,
                        uint8_t *target) {
    int32_t digits[DIGITS][WIDE_TAPS / FOUR] = {0}; /* four rows' in one number */
    for (int k = 0; k < count; k++) {
        int8_t digit[DIGITS];
        split(weight[k], digit);
        for (int d = 0; d < DIGITS; d++) memcpy((char *)digits[d] + k, &digit[d], 1);
    }
    for (size_t start = 0; start < stride; start += LINE) {
        __mmask64 there =
            stride - start < LINE ? (UINT64_C(1) << (stride - start)) - 1 : ~UINT64_C(0);
        __m512i high[4], middle[4], low[4];
        for (int q = 0; q < 4; q++) {
            high[q] = _mm512_set1_epi32(HALF);
            middle[q] = low[q] = _mm512_setzero_si512();
        }
        for (int k = 0; k < count; k += FOUR) {
            __m512i row[4], four[4];
            const uint8_t *from = rows + (size_t)k * stride + start;
            for (int r = 0; r < FOUR; r++)
                row[r] = k + r < count
                             ? _mm512_maskz_loadu_epi8(there, from + (size_t)r * stride)
                             : _mm512_setzero_si512();
            side_by_side(row, four);
            for (int q = 0; q < 4; q++) {
                int at = k / FOUR;
                high[q] = _mm512_dpbusd_epi32(high[q], four[q], _mm512_set1_epi32(digits[0][at]));
                middle[q] =
                    _mm512_dpbusd_epi32(middle[q], four[q], _mm512_set1_epi32(digits[1][at]));
                low[q] = _mm512_dpbusd_epi32(low[q], four[q], _mm512_set1_epi32(digits[2][at]));
            }
        }
        __m512i sum[4];
        for (int q = 0; q < 4; q++) sum[q] = together(high[q], middle[q], low[q]);
        /* Both packings saturate, and undo the interleaving. */
        _mm512_mask_storeu_epi8(target + start, there,
                                _mm512_packus_epi16(_mm512_packs_epi32(sum[0], sum[1]),
                                                    _mm512_packs_epi32(sum[2], sum[3])));
    }
}

#else

struct wide *wide_make(const struct axis *axis, int left, size_t stride) {
    (void)axis, (void)left, (void)stride;
    return NULL;
}

void wide_across(const struct wide *wide, const uint8_t *const from[4], uint8_t *const to[4]) {
    (void)wide, (void)from, (void)to;
}

void wide_down_row(const uint8_t *rows, size_t stride, const int32_t *weight, int count,
                   uint8_t *target) {
    (void)rows, (void)stride, (void)weight, (void)count, (void)target;
}

#endif
