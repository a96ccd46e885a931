/* Errors of libjpeg as jumps back, never as an exit. */

#include "decompress.h"

#include <string.h>

#include <jerror.h>

static void fail(j_common_ptr common) {
    struct failure *failure = (struct failure *)common->err;
    char text[JMSG_LENGTH_MAX];
    failure->manager.format_message(common, text);
    snprintf(failure->message, JPEG_MESSAGE, "%.*s", JPEG_MESSAGE - 1, text);
    longjmp(failure->back, 1);
}

static void warn(j_common_ptr common, int level) {
    struct failure *failure = (struct failure *)common->err;
    if (level >= 0) return;
    failure->manager.num_warnings++;
    if (failure->manager.msg_code != JWRN_JPEG_EOF) return;
    /* Other warnings are ignored, as Pillow does; the end of the data is an error there too. */
    failure->truncated = 1;
    snprintf(failure->message, JPEG_MESSAGE, "the data end before the image does");
    longjmp(failure->back, 1);
}

static void silence(j_common_ptr common) { (void)common; }

void decompress_begin(struct jpeg_decompress_struct *jpeg, struct failure *failure, char *message) {
    memset(failure, 0, sizeof *failure);
    jpeg->err = jpeg_std_error(&failure->manager);
    failure->manager.error_exit = fail;
    failure->manager.emit_message = warn;
    failure->manager.output_message = silence;
    failure->message = message;
    message[0] = 0;
}

int decompress_plain(const struct jpeg_decompress_struct *jpeg) {
    const jpeg_component_info *part = jpeg->comp_info;
    if (jpeg->data_precision != 8 || jpeg->arith_code || jpeg->err->num_warnings) return 0;
    if (jpeg->num_components == 1) return jpeg->jpeg_color_space == JCS_GRAYSCALE;
    if (jpeg->num_components != 3 || part[1].h_samp_factor != 1 || part[1].v_samp_factor != 1 ||
        part[2].h_samp_factor != 1 || part[2].v_samp_factor != 1)
        return 0;
    int h = part[0].h_samp_factor, v = part[0].v_samp_factor;
    return (h == 1 && v == 1) || (h == 2 && v == 1) || (h == 2 && v == 2);
}

int decompress_all_bits(const struct jpeg_decompress_struct *jpeg) {
    for (int part = 0; jpeg->coef_bits && part < jpeg->num_components; part++)
        for (int k = 0; k < DCTSIZE2; k++) /* the bit that came last, -1 before any did */
            if (jpeg->coef_bits[part][k] != 0) return 0;
    return 1;
}

int decompress_one_scan(const struct jpeg_decompress_struct *jpeg) {
    const uint8_t *at = jpeg->src->next_input_byte;
    size_t left = jpeg->src->bytes_in_buffer;
    if (jpeg_has_multiple_scans((j_decompress_ptr)jpeg)) return 1; /* all are read at the start */
    while (left > 1) {
        const uint8_t *mark = memchr(at, 0xff, left - 1);
        if (!mark) break;
        uint8_t code = mark[1];
        if (code != 0 && code != 0xff && (code < JPEG_RST0 || code > JPEG_RST0 + 7))
            return code == JPEG_EOI;
        left -= (size_t)(mark + 1 - at);
        at = mark + 1;
    }
    return 0;
}
