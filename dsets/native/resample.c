/* The antialiased resize that Pillow defines (its 8-bit path): two passes, weights in fixed point
   with 22 fractional bits, rounded to 8 bits after each pass. Bit for bit the same. */

#include "native.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FRACTION 22

typedef int32_t int4 __attribute__((vector_size(16)));
typedef uint8_t byte4 __attribute__((vector_size(4)));

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

int axis_make(struct axis *axis, int input, int resized, int start, int outputs,
              enum filter filter) {
    double (*shape)(double) = filter == FILTER_BICUBIC ? bicubic : bilinear;
    double scale = (double)input / resized;
    double stretch = scale < 1.0 ? 1.0 : scale; /* the filter widens only when shrinking */
    double reach = (filter == FILTER_BICUBIC ? 2.0 : 1.0) * stretch;
    int taps = (int)ceil(reach) * 2 + 1;
    double *raw = malloc(sizeof(double) * (size_t)taps);
    axis->input = input;
    axis->resized = resized;
    axis->outputs = outputs;
    axis->taps = taps;
    axis->first = malloc(sizeof(int) * (size_t)outputs);
    axis->count = malloc(sizeof(int) * (size_t)outputs);
    axis->weight = calloc((size_t)outputs * (size_t)taps, sizeof(int32_t));
    if (!raw || !axis->first || !axis->count || !axis->weight) {
        free(raw);
        axis_free(axis);
        return -1;
    }
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
        for (int k = 0; k < high - low; k++) {
            double weight = total != 0.0 ? raw[k] / total : raw[k];
            axis->weight[(size_t)i * (size_t)taps + (size_t)k] =
                (int32_t)(weight * (1 << FRACTION) + (weight < 0 ? -0.5 : 0.5));
        }
        axis->first[i] = low;
        axis->count[i] = high - low;
    }
    free(raw);
    return 0;
}

void axis_free(struct axis *axis) {
    free(axis->first);
    free(axis->count);
    free(axis->weight);
    memset(axis, 0, sizeof *axis);
}

static inline uint8_t to_byte(int32_t sum) {
    sum >>= FRACTION;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

static inline int4 pixel(const uint8_t *at) {
    byte4 four;
    memcpy(&four, at, 4);
    return __builtin_convertvector(four, int4);
}

/* Two rows at a time, since they share their weights; `low` may be `high` for a last odd row. */
DISPATCH static void across_rows(const uint8_t *high, const uint8_t *low, int left,
                                 const struct axis *axis, uint8_t *target_high,
                                 uint8_t *target_low) {
    const int32_t half = 1 << (FRACTION - 1);
    for (int i = 0; i < axis->outputs; i++) {
        size_t from = (size_t)(axis->first[i] - left) * 4;
        const int32_t *weight = axis->weight + (size_t)i * (size_t)axis->taps;
        int4 upper = {half, half, half, half}, lower = upper;
        for (int k = 0; k < axis->count[i]; k++) {
            upper += pixel(high + from + 4 * (size_t)k) * weight[k];
            lower += pixel(low + from + 4 * (size_t)k) * weight[k];
        }
        for (int c = 0; c < 3; c++) {
            target_high[3 * i + c] = to_byte(upper[c]);
            target_low[3 * i + c] = to_byte(lower[c]);
        }
    }
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
        for (int i = 0; i < down->outputs; i++)
            down_row(source + (size_t)(down->first[i] - top) * stride, stride,
                     down->weight + (size_t)i * (size_t)down->taps, down->count[i],
                     scratch + (size_t)i * stride);
        source = scratch;
        rows = down->outputs;
        scratch = target;
    }
    for (int y = 0; y < rows; y += 2) {
        int next = y + 1 < rows ? y + 1 : y;
        across_rows(source + (size_t)y * stride, source + (size_t)next * stride, left, across,
                    scratch + (size_t)y * width, scratch + (size_t)next * width);
    }
    if (first) return;
    for (int i = 0; i < down->outputs; i++)
        down_row(scratch + (size_t)(down->first[i] - top) * width, width,
                 down->weight + (size_t)i * (size_t)down->taps, down->count[i],
                 target + (size_t)i * width);
}

size_t resample_scratch(size_t stride, int rows, const struct axis *across,
                        const struct axis *down) {
    return down_comes_first(across, down) ? (size_t)down->outputs * stride
                                          : (size_t)rows * (size_t)across->outputs * 3;
}
