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
    if (level >= 0 || failure->manager.msg_code != JWRN_JPEG_EOF) return;
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
    if (jpeg->data_precision != 8 || jpeg->arith_code) return 0;
    if (jpeg->num_components == 1) return jpeg->jpeg_color_space == JCS_GRAYSCALE;
    if (jpeg->num_components != 3 || part[1].h_samp_factor != 1 || part[1].v_samp_factor != 1 ||
        part[2].h_samp_factor != 1 || part[2].v_samp_factor != 1)
        return 0;
    int h = part[0].h_samp_factor, v = part[0].v_samp_factor;
    return (h == 1 && v == 1) || (h == 2 && v == 1) || (h == 2 && v == 2);
}
