/* The two passes of a resize by instructions of 512 bits: the same bits as resample.c's plain
   loops, several times as fast. Called only where wide_possible(). */

#ifndef DSETS_RESAMPLE_WIDE_H
#define DSETS_RESAMPLE_WIDE_H

#include "native.h"

enum { RESAMPLE_FRACTION = 22 }; /* bits of a weight behind the point */

/* What wide_across needs for rows of `stride` bytes, whose first pixel is pixel `left` of the
   image; NULL where it cannot do it, or there is no memory. To be freed. */
struct wide;
struct wide *wide_make(const struct axis *axis, int left, size_t stride);

/* All outputs of four rows of 4-byte pixels, as three bytes each. Nothing outside the rows is read,
   nothing behind their outputs written; two of them may be the same. */
void wide_across(const struct wide *wide, const uint8_t *const from[4], uint8_t *const to[4]);

/* One row of `stride` bytes from `count` rows, one behind the other, by a weight each. */
enum { WIDE_TAPS = 64 }; /* rows at most */
void wide_down_row(const uint8_t *rows, size_t stride, const int32_t *weight, int count,
                   uint8_t *target);

#endif
