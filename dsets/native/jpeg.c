/* JPEG bytes → a resized crop, decoding only the rows and columns that the crop needs. */

#include "decompress.h"
#include "huffman.h"

#include <stdlib.h>
#include <string.h>

enum jpeg_result jpeg_read(const uint8_t *data, size_t length, struct jpeg_header *header,
                           char message[JPEG_MESSAGE]) {
    struct jpeg_decompress_struct jpeg;
    struct failure failure;
    decompress_begin(&jpeg, &failure, message);
    if (setjmp(failure.back)) {
        jpeg_destroy_decompress(&jpeg);
        return failure.truncated ? JPEG_TRUNCATED : JPEG_BROKEN;
    }
    jpeg_create_decompress(&jpeg);
    jpeg_mem_src(&jpeg, data, (unsigned long)length);
    jpeg_read_header(&jpeg, TRUE);
    header->width = (int)jpeg.image_width;
    header->height = (int)jpeg.image_height;
    header->components = jpeg.num_components;
    header->plain = decompress_plain(&jpeg);
    jpeg_destroy_decompress(&jpeg);
    return JPEG_OK;
}

/* Inputs first … last (exclusive) that the outputs of an axis look at. */
static void span(const struct axis *axis, int *first, int *last) {
    *first = axis->first[0];
    *last = axis->first[axis->outputs - 1] + axis->taps;
}

/* *own: with our Huffman decoder? Whether it was so; *again says that it must not be. */
static enum jpeg_result crop(const uint8_t *data, size_t length, const struct jpeg_request *request,
                             uint8_t *target, char message[JPEG_MESSAGE], int *own, int *again) {
    struct jpeg_decompress_struct jpeg;
    struct failure failure;
    struct axis volatile_across = {0}, volatile_down = {0};
    struct axis *across = &volatile_across, *down = &volatile_down;
    uint8_t *volatile pixels = NULL;
    struct huffman *volatile huffman = NULL;
    volatile enum jpeg_result result = JPEG_BROKEN;

    decompress_begin(&jpeg, &failure, message);
    if (setjmp(failure.back)) {
        result = failure.truncated ? JPEG_TRUNCATED : JPEG_BROKEN;
        *again = failure.again;
        goto done;
    }
    jpeg_create_decompress(&jpeg);
    jpeg_mem_src(&jpeg, data, (unsigned long)length);
    jpeg_read_header(&jpeg, TRUE);
    jpeg.out_color_space = JCS_EXT_RGBX;
    jpeg.scale_num = 1;
    jpeg.scale_denom = (unsigned int)request->denominator;
    jpeg_start_decompress(&jpeg);
    if (*own) huffman = huffman_take(&jpeg, &failure);
    *own = huffman != NULL;
    if ((!huffman && !decompress_one_scan(&jpeg)) || !decompress_all_bits(&jpeg)) {
        snprintf(message, JPEG_MESSAGE, "scans are missing, or more than scans is there");
        goto done;
    }

    int width = (int)jpeg.output_width, height = (int)jpeg.output_height;
    result = JPEG_MEMORY;
    if (axis_make(across, width, request->resized_width, request->left, request->width,
                  request->filter, ACROSS_STEP) ||
        axis_make(down, height, request->resized_height, request->top, request->height,
                  request->filter, DOWN_STEP))
        goto done;
    int first, last, top, bottom;
    span(across, &first, &last);
    span(down, &top, &bottom);

    JDIMENSION left = 0, columns = (JDIMENSION)width;
    /* A progressive image is decoded whole anyway, and cropping saves little there. */
    if (!jpeg.progressive_mode && last - first + 2 * JPEG_MARGIN < width) {
        int from = first > JPEG_MARGIN ? first - JPEG_MARGIN : 0;
        int to = last + JPEG_MARGIN < width ? last + JPEG_MARGIN : width;
        left = (JDIMENSION)from;
        columns = (JDIMENSION)(to - from);
        jpeg_crop_scanline(&jpeg, &left, &columns);
    }
    int skipped = top > JPEG_MARGIN ? top - JPEG_MARGIN : 0;
    int rows = bottom - skipped;
    size_t stride = (size_t)columns * 4;
    pixels = malloc(stride * (size_t)rows + resample_scratch(stride, rows, across, down));
    if (!pixels) goto done;
    result = JPEG_BROKEN;
    if (skipped > 0) jpeg_skip_scanlines(&jpeg, (JDIMENSION)skipped);
    for (int y = 0; y < rows;) {
        JSAMPROW lines[16];
        int want = rows - y < 16 ? rows - y : 16;
        for (int i = 0; i < want; i++) lines[i] = pixels + (size_t)(y + i) * stride;
        y += (int)jpeg_read_scanlines(&jpeg, lines, (JDIMENSION)want);
    }
    /* The rows below the crop are not decoded at all: what Pillow would call broken there cannot
       be, since the end mark follows on the data. */
    if (jpeg.output_scanline < jpeg.output_height)
        jpeg_skip_scanlines(&jpeg, jpeg.output_height - jpeg.output_scanline);
    jpeg_finish_decompress(&jpeg);
    resample(pixels, stride, (int)left, skipped, rows, across, down,
             pixels + stride * (size_t)rows, target);
    result = JPEG_OK;
done:
    jpeg_destroy_decompress(&jpeg);
    huffman_free(huffman);
    axis_free(across);
    axis_free(down);
    free(pixels);
    if (result == JPEG_MEMORY) snprintf(message, JPEG_MESSAGE, "out of memory");
    return result;
}

enum jpeg_result jpeg_crop(const uint8_t *data, size_t length, const struct jpeg_request *request,
                           uint8_t *target, char message[JPEG_MESSAGE], int *own) {
    int again = 0;
    *own = 1;
    enum jpeg_result result = crop(data, length, request, target, message, own, &again);
    if (!again) return result;
    *own = 0;
    return crop(data, length, request, target, message, own, &again);
}
