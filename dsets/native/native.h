/* The optional extension dsets._native: what its files share.

   Every kernel here has a slower equal in Python (Pillow or NumPy) that is its specification: the
   tests demand the same bits. Nothing in these files touches Python objects, so callers release
   the interpreter lock around them. */

#ifndef DSETS_NATIVE_H
#define DSETS_NATIVE_H

#include <stddef.h>
#include <stdint.h>

/* One loop, compiled for several instruction sets, chosen when the library is loaded. */
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define DISPATCH __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define DISPATCH
#endif

/* Code written by hand for 512 bits; only where wide_possible() says so. */
#if defined(__x86_64__) && defined(__GNUC__)
#define WIDE __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")))
static inline int wide_possible(void) {
    return __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}
#else
static inline int wide_possible(void) { return 0; }
#endif

enum filter { FILTER_BILINEAR = 0, FILTER_BICUBIC = 1 };

/* One axis of a resize: output i sums `taps` inputs from `first[i]` on. */
struct axis {
    int input, resized; /* samples of the whole image, before and after */
    int outputs;     /* outputs computed */
    int taps;        /* the same for each output; at the borders some have no weight */
    int *first;      /* (outputs,) in input coordinates */
    int32_t *weight; /* (outputs, taps), 22 fractional bits */
};

/* Weights of outputs start … start + outputs - 1 of a resize from `input` to `resized` samples.
   `taps` will be a multiple of `step`, unless the whole input is shorter. Returns 0, or -1 when
   there is no memory. */
enum { ACROSS_STEP = 4, DOWN_STEP = 1 };
int axis_make(struct axis *axis, int input, int resized, int start, int outputs, enum filter filter,
              int step);
void axis_free(struct axis *axis);

/* Resize the part of an image that covers the outputs of both axes.

   source: rows of 4-byte pixels (R, G, B, unused); `stride` bytes from row to row; its first pixel
   is (left, top) of the whole image. scratch: at least `rows * across->outputs * 3` bytes, where
   `rows` is the number of source rows. target: (down->outputs, across->outputs, 3) bytes. */
void resample(const uint8_t *source, size_t stride, int left, int top, int rows,
              const struct axis *across, const struct axis *down, uint8_t *scratch,
              uint8_t *target);

size_t resample_scratch(size_t stride, int rows, const struct axis *across,
                        const struct axis *down);

/* Add the integers of `count` images, one behind the other: sum (pixels, channels) of values;
   square_sum (channels,); outer_sum (channels, channels). channels is 1 or 3. */
void statistics_add(const uint8_t *images, size_t count, size_t pixels, int channels,
                    uint32_t *sum, uint64_t *square_sum, uint64_t *outer_sum);

/* CRC-32C of n bytes; only where it is possible, and after checksum_prepare(). */
int checksum_possible(void);
void checksum_prepare(void);
uint32_t checksum(const uint8_t *data, size_t n);

#ifdef DSETS_JPEG
struct jpeg_header {
    int width, height, components;
    int plain; /* greyscale, YCbCr or RGB: what jpeg_crop can decode */
};
struct jpeg_request {
    int denominator;                /* 1, 2, 4 or 8: scaling inside the decoder */
    int resized_width, resized_height;
    int left, top, width, height;   /* the crop, in the resized image */
    enum filter filter;
};
enum jpeg_result { JPEG_OK = 0, JPEG_TRUNCATED = 1, JPEG_BROKEN = 2, JPEG_MEMORY = 3 };
#define JPEG_MESSAGE 200

enum jpeg_result jpeg_read(const uint8_t *data, size_t length, struct jpeg_header *header,
                           char message[JPEG_MESSAGE]);
/* Decode, resize and crop into target (height, width, 3). *own: was the Huffman decoder ours? */
enum jpeg_result jpeg_crop(const uint8_t *data, size_t length, const struct jpeg_request *request,
                           uint8_t *target, char message[JPEG_MESSAGE], int *own);
#endif

#endif
