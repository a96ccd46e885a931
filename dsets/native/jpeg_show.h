/* JPEG bytes → a finished image of a batch: a box of it, resized, mirrored, scaled, stored. */

#ifndef DSETS_JPEG_SHOW_H
#define DSETS_JPEG_SHOW_H

#include "gather.h"
#include "native.h"

/* The box that is shown, in the image, and the size it is shown in. Where the two sizes are the
   same, the box may leave the image and what is outside is 0; a resized box may not. */
struct jpeg_view {
    int64_t top, left, height, width;
    int64_t lines, columns;
    int mirrored;
};

enum jpeg_shown {
    SHOWN = 0,
    SHOW_TRUNCATED = 1,
    SHOW_BROKEN = 2,
    SHOW_OTHER = 3,  /* no JPEG, or one that only Pillow reads alike everywhere */
    SHOW_LARGE = 4,  /* more pixels than allowed */
    SHOW_OUTSIDE = 5 /* a box that the image does not hold */
};

/* Memory that is used for one image after the other; zero to begin with. */
struct jpeg_space {
    uint8_t *memory;
    size_t size;
    struct axis across, down;
};
void jpeg_space_free(struct jpeg_space *space);

/* Height and width as the frame header says, without the library. Returns 0 when there is none. */
int jpeg_size(const uint8_t *data, size_t length, int64_t *height, int64_t *width);

/* Show one image to out, (lines, columns, 3) bytes or (3, lines, columns) floats. Decoding ends
   with the last row that the box needs; the data must still have an end mark. Returns -1 when
   there is no memory, else an enum jpeg_shown. */
int jpeg_show(const uint8_t *data, size_t length, const struct jpeg_view *view,
              const struct finish *finish, int64_t most_pixels, struct jpeg_space *space,
              void *out);

#endif
