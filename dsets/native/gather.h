/* Images out of a pack: a window of each, mirrored or not, copied or scaled, in one pass. */

#ifndef DSETS_GATHER_H
#define DSETS_GATHER_H

#include <stddef.h>
#include <stdint.h>

/* Stored images: bytes, (height, width, channels), or (channels, height, width) when planar. */
struct stored {
    int64_t height, width, channels;
    int planar;
};

/* What is shown: the window's corner in the stored image, which it may leave; outside is 0. */
struct window {
    int64_t top, left, height, width;
    int mirrored; /* right to left */
};

/* An image and what is shown of it. */
struct shown {
    const uint8_t *image;
    struct window window;
};

enum gather_type { GATHER_UINT8 = 0, GATHER_FLOAT32 = 1, GATHER_FLOAT16 = 2 };

/* uint8 is copied, to (height, width, channels). Floats are value * scale[c] + bias[c], product and
   sum each rounded to float32, then to the type, to (channels, height, width). With a field it is
   (value * scale[c] + field[c][y][x]) + bias[c], each rounded, at the pixel's place in the stored
   image, and 0 outside of it. */
struct finish {
    enum gather_type type;
    const float *scale, *bias;
    int bypass; /* write past the caches: for batches that no cache holds; then gather_fence() */
    const float *field; /* planar, of the size of the stored images; or NULL */
};

/* Bytes of scratch memory that gather() needs. */
size_t gather_scratch(const struct stored *stored, const struct window *window);

/* Show one image. out is aligned as its type; next, whose image may be NULL, will be shown soon, in
   a window of the same size. */
void gather(const struct shown *now, const struct shown *next, const struct stored *stored,
            const struct finish *finish, uint8_t *scratch, void *out);

/* n bytes: value * scale + bias. */
void scale_float32(const uint8_t *restrict in, size_t n, float scale, float bias,
                   float *restrict out);
void scale_float16(const uint8_t *restrict in, size_t n, float scale, float bias,
                   uint16_t *restrict out);

/* What scale_float16 makes of each byte; 0 where looking up is not faster, and nothing is made. */
int float16_results(float scale, float bias, uint16_t results[256]);
void look_up_float16(const uint8_t *restrict in, size_t n, const uint16_t results[256],
                     uint16_t *restrict out);

/* n bytes: (value * scale + field) + bias. */
void scale_field_float32(const uint8_t *restrict in, const float *restrict field, size_t n,
                         float scale, float bias, float *restrict out);

/* n finite floats to float16. */
void to_float16(const float *restrict in, size_t n, uint16_t *restrict out);

/* scale_float32 past the caches, 1; or 0 where that is not faster than copy_past, and nothing is
   made. */
int scale_float32_past(const uint8_t *restrict in, size_t n, float scale, float bias,
                       float *restrict out);

/* Copy past the caches, whole cache lines; what is left at both ends the usual way. */
void copy_past(void *restrict out, const void *restrict in, size_t bytes);

/* Make what was written past the caches visible to other threads. */
void gather_fence(void);

#endif
