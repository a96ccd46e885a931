/* What every use of libjpeg here shares: errors that come back, and which images are ours. */

#ifndef DSETS_DECOMPRESS_H
#define DSETS_DECOMPRESS_H

#include "native.h"

#include <setjmp.h>
#include <stdio.h>

#include <jpeglib.h>

/* Where a failed call of the library comes back to, and why. */
struct failure {
    struct jpeg_error_mgr manager;
    jmp_buf back;
    char *message;
    int truncated;
    int again; /* what is wrong is for the library alone to say: see huffman.h */
};

/* Before jpeg_create_decompress: errors will jump to failure->back. message: JPEG_MESSAGE bytes. */
void decompress_begin(struct jpeg_decompress_struct *jpeg, struct failure *failure, char *message);

/* After the header: is it what every generation of the library decodes to the same bits? Rarer
   chroma sampling is left to Pillow, whose bundled library may be another one, and so is a header
   that the library warns of: Pillow parses it itself first, and may refuse it. */
int decompress_plain(const struct jpeg_decompress_struct *jpeg);

/* After jpeg_start_decompress: have all bits of all coefficients come? Where scans of a progressive
   image are missing, the library smooths over the blocks' edges, each generation in its own way. */
int decompress_all_bits(const struct jpeg_decompress_struct *jpeg);

/* Before any row is decoded: does the end mark follow on the scan's data, if it is the only scan?
   Whatever else does may be an error, which the library finds only where it decodes to the end. */
int decompress_one_scan(const struct jpeg_decompress_struct *jpeg);

enum { JPEG_MARGIN = 2 }; /* chroma upsampling looks one chroma sample, two pixels, beyond */

#endif
