/* The entropy-coded data of a baseline JPEG, decoded faster than libjpeg-turbo does it. */

#ifndef DSETS_HUFFMAN_H
#define DSETS_HUFFMAN_H

#include "decompress.h"

struct huffman; /* tables and data of one image; zero for none */

/* After jpeg_start_decompress: let the library take this image's coefficients from here, if it is
   one with a single scan without restarts, whose data an end mark follows. The coefficients are the
   library's own; what is wrong with the data is its business too: then failure->again is set and
   failure->back jumped to, and the image must be decoded without this.

   Returns what huffman_free() wants, or NULL, after which the library decodes by itself. */
struct huffman *huffman_take(struct jpeg_decompress_struct *jpeg, struct failure *failure);
void huffman_free(struct huffman *huffman);

#endif
