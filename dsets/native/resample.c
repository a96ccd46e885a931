/* The antialiased resize that Pillow defines (its 8-bit path): two passes, weights in fixed point
   with 22 fractional bits, rounded to 8 bits after each pass. Bit for bit the same. */

#include "resample_wide.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define AVX2 __attribute__((target("avx2")))
#endif

#define FRACTION RESAMPLE_FRACTION
#define LOW 15 /* a weight is cut into its low 15 bits and the rest: 16-bit factors */

static double bilinear(double x) {
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

static double bicubic(double x) { /* Keys' cubic with a = -1/2 */
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

/* Give every output `count` taps, some of weight 0 and none beyond the image: loops of one length
   are faster than loops that end where nobody can predict. */
static void same_count(struct axis *axis, int count) {
    for (int i = 0; i < axis->outputs; i++) {
        int32_t *from = axis->weight + (size_t)i * (size_t)axis->taps;
        int32_t *to = axis->weight + (size_t)i * (size_t)count; /* never behind `from` */
        int beyond = axis->first[i] + count - axis->input;
        int shift = beyond > 0 ? beyond : 0;
        memmove(to + shift, from, sizeof *to * (size_t)(count - shift));
        memset(to, 0, sizeof *to * (size_t)shift);
        axis->first[i] -= shift;
    }
    axis->taps = count;
}

int axis_make(struct axis *axis, int input, int resized, int start, int outputs,
              enum filter filter, int step) {
    double (*shape)(double) = filter == FILTER_BICUBIC ? bicubic : bilinear;
    double scale = (double)input / resized;
    double stretch = scale < 1.0 ? 1.0 : scale; /* the filter widens only when shrinking */
    double reach = (filter == FILTER_BICUBIC ? 2.0 : 1.0) * stretch;
    int taps = ((int)ceil(reach) * 2 + step) / step * step;
    if (taps > input) taps = input;
    double *raw = malloc(sizeof(double) * (size_t)taps);
    axis->input = input;
    axis->resized = resized;
    axis->outputs = outputs;
    axis->taps = taps;
    axis->first = malloc(sizeof(int) * (size_t)outputs);
    axis->weight = calloc((size_t)outputs * (size_t)taps, sizeof(int32_t));
    if (!raw || !axis->first || !axis->weight) {
        free(raw);
        axis_free(axis);
        return -1;
    }
    int most = 1;
    for (int i = 0; i < outputs; i++) {
        double centre = (start + i + 0.5) * scale;
        double narrow = 1.0 / stretch;
        int low = (int)(centre - reach + 0.5);
        int high = (int)(centre + reach + 0.5);
        if (low < 0) low = 0;
        if (high > input) high = input;
        double total = 0.0;
        for (int k = 0; k < high - low; k++) {
            raw[k] = shape((k + low - centre + 0.5) * narrow);
            total += raw[k];
        }
        int32_t *weight = axis->weight + (size_t)i * (size_t)taps;
        for (int k = 0; k < high - low; k++) {
            double share = total != 0.0 ? raw[k] / total : raw[k];
            weight[k] = (int32_t)(share * (1 << FRACTION) + (share < 0 ? -0.5 : 0.5));
        }
        axis->first[i] = low;
        if (high - low > most) most = high - low;
    }
    free(raw);
    most = (most + step - 1) / step * step;
    same_count(axis, most < input ? most : input);
    return 0;
}

void axis_free(struct axis *axis) {
    free(axis->first);
    free(axis->weight);
    memset(axis, 0, sizeof *axis);
}

static inline uint8_t to_byte(int32_t sum) {
    sum >>= FRACTION;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* Four rows at a time, since they share their weights. `from` are the rows, whose first pixel is
   pixel `left` of the image; `to` where their outputs go. */
static void across_rows(const uint8_t *const from[4], int left, const struct axis *axis,
                        uint8_t *const to[4]) {
    const int32_t half = 1 << (FRACTION - 1);
    const int32_t *weight = axis->weight;
    for (int i = 0; i < axis->outputs; i++, weight += axis->taps) {
        size_t at = (size_t)(axis->first[i] - left) * 4;
        for (int r = 0; r < 4; r++) {
            int32_t red = half, green = half, blue = half;
            const uint8_t *pixel = from[r] + at;
            for (int k = 0; k < axis->taps; k++, pixel += 4) {
                red += pixel[0] * weight[k];
                green += pixel[1] * weight[k];
                blue += pixel[2] * weight[k];
            }
            to[r][3 * i] = to_byte(red);
            to[r][3 * i + 1] = to_byte(green);
            to[r][3 * i + 2] = to_byte(blue);
        }
    }
}

#ifdef AVX2
AVX2 static inline __m128i four(const uint8_t *at) { return _mm_loadu_si128((const __m128i *)at); }

/* Each row's pixel i, four bytes a row. The fourth byte is overwritten by the next pixel; the last
   one must not have it. */
AVX2 static inline void store4(__m128i rows, uint8_t *const to[4], int i, int outputs) {
    uint32_t pixel[4];
    _mm_storeu_si128((__m128i *)pixel, rows);
    if (i + 1 < outputs)
        for (int r = 0; r < 4; r++) memcpy(to[r] + 3 * i, &pixel[r], 4);
    else
        for (int r = 0; r < 4; r++) memcpy(to[r] + 3 * i, &pixel[r], 3);
}

/* As across_rows, for taps in multiples of four. Four neighbours of one row fill a register: as
   16-bit pairs (R0 R1) (G0 G1) (B0 B1) (X0 X1) | (R2 R3) ... they are multiplied by pairs of
   weights and added. factors: for every output and four taps, the low parts so arranged, then the
   high ones. */
AVX2 static void across_rows_avx2(const uint8_t *const from[4], int left, const struct axis *axis,
                                  const void *factors, uint8_t *const to[4]) {
    const __m256i pairs = _mm256_setr_epi8(0, -1, 4, -1, 1, -1, 5, -1, 2, -1, 6, -1, 3, -1, 7, -1,
                                           8, -1, 12, -1, 9, -1, 13, -1, 10, -1, 14, -1, 11, -1,
                                           15, -1);
    const int32_t half = 1 << (FRACTION - 1);
    const __m256i start = _mm256_setr_epi32(half, half, half, half, 0, 0, 0, 0);
    const int16_t *factor = factors;
    for (int i = 0; i < axis->outputs; i++) {
        size_t at = (size_t)(axis->first[i] - left) * 4;
        __m256i low[4], high[4];
        for (int r = 0; r < 4; r++) low[r] = start, high[r] = _mm256_setzero_si256();
        for (int k = 0; k < axis->taps; k += 4, at += 16, factor += 32) {
            __m256i small = _mm256_loadu_si256((const __m256i *)factor);
            __m256i large = _mm256_loadu_si256((const __m256i *)(factor + 16));
            for (int r = 0; r < 4; r++) {
                __m256i pixels = _mm256_broadcastsi128_si256(four(from[r] + at));
                pixels = _mm256_shuffle_epi8(pixels, pairs);
                low[r] = _mm256_add_epi32(low[r], _mm256_madd_epi16(pixels, small));
                high[r] = _mm256_add_epi32(high[r], _mm256_madd_epi16(pixels, large));
            }
        }
        __m256i sum[4], both[2];
        for (int r = 0; r < 4; r++)
            sum[r] = _mm256_add_epi32(low[r], _mm256_slli_epi32(high[r], LOW));
        for (int r = 0; r < 2; r++)
            both[r] = _mm256_srai_epi32(
                _mm256_add_epi32(_mm256_permute2x128_si256(sum[r], sum[r + 2], 0x20),
                                 _mm256_permute2x128_si256(sum[r], sum[r + 2], 0x31)),
                FRACTION);
        /* Both packings saturate: rows 0 and 1 in the lower half, 2 and 3 in the upper. */
        __m256i bytes = _mm256_packs_epi32(both[0], both[1]);
        bytes = _mm256_packus_epi16(bytes, bytes);
        store4(_mm_unpacklo_epi64(_mm256_castsi256_si128(bytes),
                                  _mm256_extracti128_si256(bytes, 1)),
               to, i, axis->outputs);
    }
}

static void *factors_for_avx2(const struct axis *axis) {
    size_t groups = (size_t)axis->outputs * (size_t)axis->taps / 4;
    int16_t *factors = malloc(groups * 32 * sizeof *factors);
    if (!factors) return NULL;
    for (size_t group = 0; group < groups; group++)
        for (int lane = 0; lane < 16; lane++) {
            int32_t weight = axis->weight[group * 4 + (size_t)(lane / 8 * 2 + lane % 2)];
            factors[group * 32 + (size_t)lane] = (int16_t)(weight & ((1 << LOW) - 1));
            factors[group * 32 + 16 + (size_t)lane] = (int16_t)(weight >> LOW);
        }
    return factors;
}
#endif

/* All rows; the target has no room between them. */
static void across_all(const uint8_t *source, size_t stride, int rows, int left,
                       const struct axis *axis, uint8_t *target) {
    void *factors = NULL;
    struct wide *wide = wide_make(axis, left, stride);
#ifdef AVX2
    if (!wide && axis->taps % 4 == 0 && __builtin_cpu_supports("avx2"))
        factors = factors_for_avx2(axis);
#endif
    for (int y = 0; y < rows; y += 4) {
        const uint8_t *from[4];
        uint8_t *to[4];
        for (int r = 0; r < 4; r++) { /* of fewer rows the first is done again */
            size_t row = (size_t)(y + r < rows ? y + r : y);
            from[r] = source + row * stride;
            to[r] = target + row * (size_t)axis->outputs * 3;
        }
        if (wide)
            wide_across(wide, from, to);
#ifdef AVX2
        else if (factors)
            across_rows_avx2(from, left, axis, factors, to);
#endif
        else
            across_rows(from, left, axis, to);
    }
    free(factors);
    free(wide);
}

DISPATCH static void down_row(const uint8_t *rows, size_t stride, const int32_t *weight, int count,
                              uint8_t *restrict target) {
    enum { BLOCK = 256 };
    int32_t sum[BLOCK];
    for (size_t start = 0; start < stride; start += BLOCK) {
        size_t width = stride - start < BLOCK ? stride - start : BLOCK;
        for (size_t j = 0; j < width; j++) sum[j] = 1 << (FRACTION - 1);
        for (int k = 0; k < count; k++) {
            const uint8_t *row = rows + (size_t)k * stride + start;
            for (size_t j = 0; j < width; j++) sum[j] += row[j] * weight[k];
        }
        for (size_t j = 0; j < width; j++) target[start + j] = to_byte(sum[j]);
    }
}

/* Every output of `down`; the source's first row is row `top`, its rows have no room between. */
static void down_all(const uint8_t *source, size_t stride, int top, const struct axis *down,
                     uint8_t *target) {
    int wide = wide_possible() && down->taps <= WIDE_TAPS;
    for (int i = 0; i < down->outputs; i++)
        (wide ? wide_down_row : down_row)(
            source + (size_t)(down->first[i] - top) * stride, stride,
            down->weight + (size_t)i * (size_t)down->taps, down->taps,
            target + (size_t)i * stride);
}

/* Pillow goes down first where that makes the image between the passes much smaller. */
static int down_comes_first(const struct axis *across, const struct axis *down) {
    return down->input > down->resized &&
           down->input - down->resized > 2 * (across->input - across->resized);
}

void resample(const uint8_t *source, size_t stride, int left, int top, int rows,
              const struct axis *across, const struct axis *down, uint8_t *scratch,
              uint8_t *target) {
    size_t width = (size_t)across->outputs * 3;
    int first = down_comes_first(across, down);
    if (first) {
        down_all(source, stride, top, down, scratch);
        source = scratch;
        rows = down->outputs;
        scratch = target;
    }
    across_all(source, stride, rows, left, across, scratch);
    if (!first) down_all(scratch, width, top, down, target);
}

size_t resample_scratch(size_t stride, int rows, const struct axis *across,
                        const struct axis *down) {
    return down_comes_first(across, down) ? (size_t)down->outputs * stride
                                          : (size_t)rows * (size_t)across->outputs * 3;
}
