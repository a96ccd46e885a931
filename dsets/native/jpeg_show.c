/* JPEG bytes → a finished image of a batch: a box of it, resized, mirrored, scaled, stored.

   Only the box's rows and columns are decoded, with a margin that makes them equal to those of the
   whole image; rows above it are entropy-decoded, which nothing can spare. */

#include "decompress.h"
#include "huffman.h"
#include "jpeg_show.h"

#include <stdlib.h>
#include <string.h>

enum { LINES = 16, SHOW_AGAIN = -2, START = 0xd8, END = 0xd9, SCAN = 0xda };

void jpeg_space_free(struct jpeg_space *space) {
    axis_free(&space->across);
    axis_free(&space->down);
    free(space->memory);
    memset(space, 0, sizeof *space);
}

static int reserve(struct jpeg_space *space, size_t size) {
    if (size <= space->size) return 0;
    free(space->memory); /* what it holds is of the last image */
    space->memory = malloc(size);
    space->size = space->memory ? size : 0;
    return space->memory ? 0 : -1;
}

int jpeg_size(const uint8_t *data, size_t length, int64_t *height, int64_t *width) {
    if (length < 4 || data[0] != 0xff || data[1] != START) return 0;
    for (size_t at = 2; at + 4 <= length;) {
        if (data[at] != 0xff) return 0;
        uint8_t mark = data[at + 1];
        if (mark == 0xff) { /* fill */
            at++;
            continue;
        }
        if (mark == 0x01 || (mark >= 0xd0 && mark <= START)) { /* without content */
            at += 2;
            continue;
        }
        if (mark == 0 || mark == END || mark == SCAN) return 0;
        size_t content = (size_t)data[at + 2] << 8 | data[at + 3];
        if (mark >= 0xc0 && mark <= 0xcf && mark != 0xc4 && mark != 0xc8 && mark != 0xcc) {
            if (at + 9 > length) return 0;
            *height = data[at + 5] << 8 | data[at + 6];
            *width = data[at + 7] << 8 | data[at + 8];
            return *height > 0 && *width > 0;
        }
        if (content < 2) return 0;
        at += 2 + content;
    }
    return 0;
}

/* Is there an end mark behind the last scan? (Inside a scan the coder never leaves the two bytes
   of a mark.) It is near the end, unless something is wrong. */
static int complete(const uint8_t *data, size_t length) {
    for (size_t at = length; at >= 2; at--) {
        if (data[at - 2] != 0xff) continue;
        if (data[at - 1] == END) return 1;
        if (data[at - 1] == SCAN) return 0;
    }
    return 0;
}

/* What of an axis is needed: the samples first … last - 1 of the image. */
struct range {
    int first, last;
};

static struct range covered(int64_t start, int64_t count, int64_t size) {
    int64_t first = start < 0 ? 0 : start < size ? start : size;
    int64_t last = start + count < 0 ? 0 : start + count < size ? start + count : size;
    return (struct range){(int)first, (int)(last > first ? last : first)};
}

/* What lies in memory: rows of the image from `top` on, their pixels from `left` on. */
struct part {
    int top, left, rows, columns;
    size_t stride;
};

/* Begin to decode, as little as the ranges allow. */
static struct part start(struct jpeg_decompress_struct *jpeg, struct range across,
                         struct range down, int pixel) {
    int width = (int)jpeg->output_width;
    int from = across.first > JPEG_MARGIN ? across.first - JPEG_MARGIN : 0;
    int to = across.last + JPEG_MARGIN < width ? across.last + JPEG_MARGIN : width;
    JDIMENSION left = 0, columns = (JDIMENSION)width;
    /* A progressive image is decoded whole anyway, and cropping saves little there. */
    if (!jpeg->progressive_mode && to - from < width) {
        left = (JDIMENSION)from;
        columns = (JDIMENSION)(to - from);
        jpeg_crop_scanline(jpeg, &left, &columns);
    }
    struct part part = {0};
    part.top = down.first > JPEG_MARGIN ? down.first - JPEG_MARGIN : 0;
    part.left = (int)left;
    part.rows = down.last - part.top;
    part.columns = (int)columns;
    part.stride = (size_t)columns * (size_t)pixel;
    return part;
}

static void read_rows(struct jpeg_decompress_struct *jpeg, const struct part *part,
                      uint8_t *pixels) {
    if (part->top > 0) jpeg_skip_scanlines(jpeg, (JDIMENSION)part->top);
    for (int y = 0; y < part->rows;) {
        JSAMPROW lines[LINES];
        int want = part->rows - y < LINES ? part->rows - y : LINES;
        for (int i = 0; i < want; i++) lines[i] = pixels + (size_t)(y + i) * part->stride;
        y += (int)jpeg_read_scanlines(jpeg, lines, (JDIMENSION)want);
    }
}

/* own: with our Huffman decoder, where it can; SHOW_AGAIN then says that it cannot. */
static int show(const uint8_t *data, size_t length, const struct jpeg_view *view,
                const struct finish *finish, int64_t most_pixels, struct jpeg_space *space,
                void *out, int own) {
    struct jpeg_decompress_struct jpeg;
    struct failure failure;
    char message[JPEG_MESSAGE];
    struct huffman *volatile huffman = NULL;
    volatile int result = SHOW_BROKEN;
    if (length < 3 || data[0] != 0xff || data[1] != START || data[2] != 0xff) return SHOW_OTHER;
    if (!complete(data, length)) return SHOW_TRUNCATED;

    decompress_begin(&jpeg, &failure, message);
    if (setjmp(failure.back)) {
        result = failure.again       ? SHOW_AGAIN
                 : failure.truncated ? SHOW_TRUNCATED
                                     : SHOW_BROKEN;
        goto done;
    }
    jpeg_create_decompress(&jpeg);
    jpeg_mem_src(&jpeg, data, (unsigned long)length);
    jpeg_read_header(&jpeg, TRUE);
    int64_t width = jpeg.image_width, height = jpeg.image_height;
    struct range across = covered(view->left, view->width, width);
    struct range down = covered(view->top, view->height, height);
    int whole = across.last - across.first == view->width && down.last - down.first == view->height;
    int resized = view->height != view->lines || view->width != view->columns;
    result = !decompress_plain(&jpeg)            ? SHOW_OTHER
             : width * height > most_pixels      ? SHOW_LARGE
             : resized && !whole                 ? SHOW_OUTSIDE
                                                 : SHOWN;
    if (result != SHOWN) goto done;
    result = -1;
    struct stored target = {view->lines, view->columns, 3, 0};
    struct window window = {0, 0, view->lines, view->columns, view->mirrored};
    struct shown none = {0};
    if (across.first == across.last || down.first == down.last) { /* nothing to see */
        uint8_t black[3] = {0, 0, 0};
        if (reserve(space, gather_scratch(&target, &window))) goto done;
        target.height = target.width = 1;
        window.top = 1;
        struct shown now = {black, window};
        gather(&now, &none, &target, finish, space->memory, out);
        result = SHOWN;
        goto done;
    }
    if (resized && (axis_make(&space->across, (int)view->width, (int)view->columns, 0,
                              (int)view->columns, FILTER_BILINEAR, ACROSS_STEP) ||
                    axis_make(&space->down, (int)view->height, (int)view->lines, 0,
                              (int)view->lines, FILTER_BILINEAR, DOWN_STEP)))
        goto done;
    jpeg.out_color_space = resized ? JCS_EXT_RGBX : JCS_EXT_RGB;
    jpeg_start_decompress(&jpeg);
    if (own) huffman = huffman_take(&jpeg, &failure);
    if ((!huffman && !decompress_one_scan(&jpeg)) || !decompress_all_bits(&jpeg)) {
        result = SHOW_OTHER;
        goto done;
    }
    struct part part = start(&jpeg, across, down, resized ? 4 : 3);
    struct stored decoded = {part.rows, part.columns, 3, 0};
    size_t pixels = part.stride * (size_t)part.rows, middle = 0, small = 0;
    if (resized) {
        middle = resample_scratch(part.stride, (int)view->height, &space->across, &space->down);
        small = (size_t)(view->lines * view->columns * 3);
    }
    if (reserve(space, pixels + middle + small +
                           gather_scratch(resized ? &target : &decoded, &window)))
        goto done;
    read_rows(&jpeg, &part, space->memory);
    uint8_t *scratch = space->memory + pixels + middle, *made = scratch;
    if (resized) {
        resample(space->memory + (size_t)(down.first - part.top) * part.stride, part.stride,
                 part.left - across.first, 0, (int)view->height, &space->across, &space->down,
                 space->memory + pixels, made);
        struct shown now = {made, window};
        gather(&now, &none, &target, finish, scratch + small, out);
    } else {
        window.top = view->top - part.top;
        window.left = view->left - part.left;
        struct shown now = {space->memory, window};
        gather(&now, &none, &decoded, finish, scratch, out);
    }
    result = SHOWN;
done:
    jpeg_destroy_decompress(&jpeg);
    huffman_free(huffman);
    axis_free(&space->across);
    axis_free(&space->down);
    return result;
}

int jpeg_show(const uint8_t *data, size_t length, const struct jpeg_view *view,
              const struct finish *finish, int64_t most_pixels, struct jpeg_space *space,
              void *out) {
    int result = show(data, length, view, finish, most_pixels, space, out, 1);
    return result == SHOW_AGAIN ? show(data, length, view, finish, most_pixels, space, out, 0)
                                : result;
}
