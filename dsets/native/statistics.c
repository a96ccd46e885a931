/* Exact integer sums of one image; the caller moves the 32-bit sums to 64 bits in time. */

#include "native.h"

/* 4096 pixels × 255² is below 2³²: block sums fit 32 bits, so the loops vectorise. */
enum { BLOCK = 4096 };

DISPATCH static void one_channel(const uint8_t *image, size_t pixels, uint32_t *sum,
                                 uint64_t *square_sum) {
    for (size_t start = 0; start < pixels; start += BLOCK) {
        size_t count = pixels - start < BLOCK ? pixels - start : BLOCK;
        uint32_t squares = 0;
        for (size_t i = start; i < start + count; i++) {
            uint32_t value = image[i];
            sum[i] += value;
            squares += value * value;
        }
        square_sum[0] += squares;
    }
}

DISPATCH static void add_values(const uint8_t *restrict image, size_t values,
                                uint32_t *restrict sum) {
    for (size_t i = 0; i < values; i++) sum[i] += image[i];
}

DISPATCH static void three_channels(const uint8_t *image, size_t pixels, uint64_t products[6]) {
    for (size_t start = 0; start < pixels; start += BLOCK) {
        size_t count = pixels - start < BLOCK ? pixels - start : BLOCK;
        const uint8_t *at = image + 3 * start;
        uint32_t rr = 0, rg = 0, rb = 0, gg = 0, gb = 0, bb = 0;
        for (size_t i = 0; i < count; i++) {
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
}

void statistics_add(const uint8_t *image, size_t pixels, int channels, uint32_t *sum,
                    uint64_t *square_sum, uint64_t *outer_sum) {
    if (channels == 1) {
        uint64_t squares = 0;
        one_channel(image, pixels, sum, &squares);
        square_sum[0] += squares;
        outer_sum[0] += squares;
        return;
    }
    uint64_t products[6] = {0};
    static const int place[9] = {0, 1, 2, 1, 3, 4, 2, 4, 5};
    add_values(image, pixels * 3, sum);
    three_channels(image, pixels, products);
    for (int i = 0; i < 9; i++) outer_sum[i] += products[place[i]];
    for (int c = 0; c < 3; c++) square_sum[c] += products[place[4 * c]];
}
