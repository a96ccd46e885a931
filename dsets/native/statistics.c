/* Exact integer sums of images; the caller moves the 32-bit sums to 64 bits in time. */

#include "native.h"

#ifdef WIDE
#include <immintrin.h>
#endif

/* 2048 pixels × 255² is below 2³²: block sums fit 32 bits, so the loops vectorise. The sums of so
   many pixels stay in the first cache while image after image is added to them. */
enum { BLOCK = 2048 };

/* Each of these: one block of an image, at most BLOCK pixels. */

DISPATCH static void one_channel(const uint8_t *restrict at, size_t pixels, uint32_t *restrict sum,
                                 uint64_t *square_sum) {
    uint32_t squares = 0;
    for (size_t i = 0; i < pixels; i++) {
        uint32_t value = at[i];
        sum[i] += value;
        squares += value * value;
    }
    *square_sum += squares;
}

DISPATCH static void add_values(const uint8_t *restrict at, size_t values,
                                uint32_t *restrict sum) {
    for (size_t i = 0; i < values; i++) sum[i] += at[i];
}

/* products: rr, rg, rb, gg, gb, bb */
DISPATCH static void three_channels(const uint8_t *at, size_t pixels, uint64_t products[6]) {
    uint32_t rr = 0, rg = 0, rb = 0, gg = 0, gb = 0, bb = 0;
    for (size_t i = 0; i < pixels; i++) {
        uint32_t r = at[3 * i], g = at[3 * i + 1], b = at[3 * i + 2];
        rr += r * r;
        rg += r * g;
        rb += r * b;
        gg += g * g;
        gb += g * b;
        bb += b * b;
    }
    products[0] += rr;
    products[1] += rg;
    products[2] += rb;
    products[3] += gg;
    products[4] += gb;
    products[5] += bb;
}

#ifdef WIDE
/* Every third byte of 192, from `first` on. */
WIDE static inline __m512i plane(const __m512i bytes[3], int first) {
    uint8_t place[64];
    for (int i = 0; i < 64; i++) place[i] = (uint8_t)(3 * i + first); /* a constant: unrolled */
    __m512i at = _mm512_loadu_si512(place);
    __m512i found = _mm512_permutex2var_epi8(bytes[0], at, bytes[1]);
    return _mm512_mask_permutexvar_epi8(found, _mm512_movepi8_mask(at), at, bytes[2]);
}

/* The same, 64 pixels at a time. The processor multiplies bytes by signed bytes, so one factor is
   taken less 128: Σxy = Σx(y - 128) + 128 Σx. */
WIDE static void three_channels_wide(const uint8_t *at, size_t pixels, uint64_t products[6]) {
    const __m512i middle = _mm512_set1_epi8(-128), ones = _mm512_set1_epi8(1);
    __m512i sum[6], total[3];
    for (int i = 0; i < 6; i++) sum[i] = _mm512_setzero_si512();
    for (int c = 0; c < 3; c++) total[c] = _mm512_setzero_si512();
    size_t whole = pixels / 64 * 64;
    for (size_t i = 0; i < whole; i += 64) {
        __m512i bytes[3], value[3], less[3];
        for (int k = 0; k < 3; k++) bytes[k] = _mm512_loadu_si512(at + 3 * i + 64 * (size_t)k);
        for (int c = 0; c < 3; c++) {
            value[c] = plane(bytes, c);
            less[c] = _mm512_xor_si512(value[c], middle);
            total[c] = _mm512_dpbusd_epi32(total[c], value[c], ones);
        }
        for (int c = 0, p = 0; c < 3; c++)
            for (int d = c; d < 3; d++, p++) sum[p] = _mm512_dpbusd_epi32(sum[p], value[c], less[d]);
    }
    for (int c = 0, p = 0; c < 3; c++)
        for (int d = c; d < 3; d++, p++)
            products[p] += (uint64_t)((int64_t)_mm512_reduce_add_epi32(sum[p]) +
                                      128 * (int64_t)_mm512_reduce_add_epi32(total[c]));
    three_channels(at + 3 * whole, pixels - whole, products);
}
#endif

/* Both sums of one block, of three channels. */
static void block_of_three(const uint8_t *at, size_t pixels, uint32_t *sum, uint64_t products[6]) {
    add_values(at, pixels * 3, sum);
#ifdef WIDE
    if (wide_possible()) {
        three_channels_wide(at, pixels, products);
        return;
    }
#endif
    three_channels(at, pixels, products);
}

void statistics_add(const uint8_t *images, size_t count, size_t pixels, int channels,
                    uint32_t *sum, uint64_t *square_sum, uint64_t *outer_sum) {
    static const int place[9] = {0, 1, 2, 1, 3, 4, 2, 4, 5};
    uint64_t products[6] = {0};
    size_t size = pixels * (size_t)channels;
    for (size_t start = 0; start < pixels; start += BLOCK) {
        size_t some = pixels - start < BLOCK ? pixels - start : BLOCK;
        size_t first = start * (size_t)channels;
        for (size_t image = 0; image < count; image++) {
            const uint8_t *at = images + image * size + first;
            if (channels == 1)
                one_channel(at, some, sum + first, products);
            else
                block_of_three(at, some, sum + first, products);
        }
    }
    for (int i = 0; i < channels * channels; i++) outer_sum[i] += products[place[i]];
    for (int c = 0; c < channels; c++) square_sum[c] += products[place[4 * c]];
}
