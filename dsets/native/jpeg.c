/* JPEG bytes → a resized crop, decoding only the rows and columns that the crop needs. */

#include "native.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

struct failure {
    struct jpeg_error_mgr manager;
    jmp_buf back;
    char *message;
    int truncated;
};

static void fail(j_common_ptr common) {
    struct failure *failure = (struct failure *)common->err;
    char text[JMSG_LENGTH_MAX];
    failure->manager.format_message(common, text);
    snprintf(failure->message, JPEG_MESSAGE, "%.*s", JPEG_MESSAGE - 1, text);
    longjmp(failure->back, 1);
}

static void warn(j_common_ptr common, int level) {
    struct failure *failure = (struct failure *)common->err;
    if (level >= 0 || failure->manager.msg_code != JWRN_JPEG_EOF) return;
    /* Other warnings are ignored, as Pillow does; the end of the data is an error there too. */
    failure->truncated = 1;
    snprintf(failure->message, JPEG_MESSAGE, "the data end before the image does");
    longjmp(failure->back, 1);
}

static void silence(j_common_ptr common) { (void)common; }

static void begin(struct jpeg_decompress_struct *jpeg, struct failure *failure, char *message) {
    memset(failure, 0, sizeof *failure);
    jpeg->err = jpeg_std_error(&failure->manager);
    failure->manager.error_exit = fail;
    failure->manager.emit_message = warn;
    failure->manager.output_message = silence;
    failure->message = message;
    message[0] = 0;
}

/* What every generation of the library decodes to the same bits. Rarer chroma sampling is left to
   Pillow, whose bundled library may be another one. */
static int plain(const struct jpeg_decompress_struct *jpeg) {
    const jpeg_component_info *part = jpeg->comp_info;
    if (jpeg->data_precision != 8 || jpeg->arith_code) return 0;
    if (jpeg->num_components == 1) return jpeg->jpeg_color_space == JCS_GRAYSCALE;
    if (jpeg->num_components != 3 || part[1].h_samp_factor != 1 || part[1].v_samp_factor != 1 ||
        part[2].h_samp_factor != 1 || part[2].v_samp_factor != 1)
        return 0;
    int h = part[0].h_samp_factor, v = part[0].v_samp_factor;
    return (h == 1 && v == 1) || (h == 2 && v == 1) || (h == 2 && v == 2);
}

enum jpeg_result jpeg_read(const uint8_t *data, size_t length, struct jpeg_header *header,
                           char message[JPEG_MESSAGE]) {
    struct jpeg_decompress_struct jpeg;
    struct failure failure;
    begin(&jpeg, &failure, message);
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
    header->plain = plain(&jpeg);
    jpeg_destroy_decompress(&jpeg);
    return JPEG_OK;
}

/* Inputs first … last (exclusive) that the outputs of an axis look at. */
static void span(const struct axis *axis, int *first, int *last) {
    *first = axis->first[0];
    *last = axis->first[axis->outputs - 1] + axis->taps;
}

enum { MARGIN = 2 }; /* chroma upsampling looks one chroma sample, two pixels, beyond */

enum jpeg_result jpeg_crop(const uint8_t *data, size_t length, const struct jpeg_request *request,
                           uint8_t *target, char message[JPEG_MESSAGE]) {
    struct jpeg_decompress_struct jpeg;
    struct failure failure;
    struct axis volatile_across = {0}, volatile_down = {0};
    struct axis *across = &volatile_across, *down = &volatile_down;
    uint8_t *volatile pixels = NULL;
    volatile enum jpeg_result result = JPEG_BROKEN;

    begin(&jpeg, &failure, message);
    if (setjmp(failure.back)) {
        result = failure.truncated ? JPEG_TRUNCATED : JPEG_BROKEN;
        goto done;
    }
    jpeg_create_decompress(&jpeg);
    jpeg_mem_src(&jpeg, data, (unsigned long)length);
    jpeg_read_header(&jpeg, TRUE);
    jpeg.out_color_space = JCS_EXT_RGBX;
    jpeg.scale_num = 1;
    jpeg.scale_denom = (unsigned int)request->denominator;
    jpeg_start_decompress(&jpeg);

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
    if (!jpeg.progressive_mode && last - first + 2 * MARGIN < width) {
        int from = first > MARGIN ? first - MARGIN : 0;
        int to = last + MARGIN < width ? last + MARGIN : width;
        left = (JDIMENSION)from;
        columns = (JDIMENSION)(to - from);
        jpeg_crop_scanline(&jpeg, &left, &columns);
    }
    int skipped = top > MARGIN ? top - MARGIN : 0;
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
    /* The rows below the crop are entropy-decoded, no more, and the file is read to its end mark:
       what Pillow calls broken there must be called so here. */
    if (jpeg.output_scanline < jpeg.output_height)
        jpeg_skip_scanlines(&jpeg, jpeg.output_height - jpeg.output_scanline);
    jpeg_finish_decompress(&jpeg);
    resample(pixels, stride, (int)left, skipped, rows, across, down,
             pixels + stride * (size_t)rows, target);
    result = JPEG_OK;
done:
    jpeg_destroy_decompress(&jpeg);
    axis_free(across);
    axis_free(down);
    free(pixels);
    if (result == JPEG_MEMORY) snprintf(message, JPEG_MESSAGE, "out of memory");
    return result;
}
