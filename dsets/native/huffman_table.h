/* The codes of one Huffman table of a baseline JPEG, looked up one or two symbols at a time. */

#ifndef DSETS_HUFFMAN_TABLE_H
#define DSETS_HUFFMAN_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jpeglib.h>

enum {
    LOOK = 10, /* bits that are looked up at once */
    ENTRIES = 1 << LOOK,
    LONGEST = 16,           /* bits of a code */
    END_OF_BLOCK = DCTSIZE2 /* as a run, it leads out of any block */
};

/* An entry is 0 where the code has more than LOOK bits. Of one symbol, the bits

    0-5    of the entry: all bits of the symbol
    6-9    bits of its code
    10-13  its additional bits
    18-24  the run of zeros before its value

   and of two, where the first is in the LOOK bits whole and the second by its code,

    0-5    all bits of both
    6-9    bits before the second's additional ones
    10-13  the second's additional bits
    14-17  the first's run
    18-24  the second's place after the first's run began
    25-31  the first's value, which is never 0 */
struct huffman_table {
    uint32_t symbol[ENTRIES];    /* single symbols, by the next LOOK bits */
    uint32_t pair[ENTRIES];      /* two symbols wherever they fit; only of AC tables */
    uint32_t limit[LONGEST + 1]; /* codes of so many bits are below, at the top of 16 bits */
    int offset[LONGEST + 1];     /* from a code to the place of its symbol */
    uint8_t value[256];
    int ac;
};

static inline int all_bits(uint32_t entry) { return (int)(entry & 63); }
static inline int code_bits(uint32_t entry) { return (int)(entry >> 6 & 15); }
static inline int more_bits(uint32_t entry) { return (int)(entry >> 10 & 15); }
static inline int first_run(uint32_t entry) { return (int)(entry >> 14 & 15); }
static inline int run(uint32_t entry) { return (int)(entry >> 18 & 127); }
static inline int first_value(uint32_t entry) { return (int32_t)entry >> 25; }

/* Returns -1 for codes that 8-bit baseline images do not have. */
int huffman_table_make(struct huffman_table *table, const JHUFF_TBL *codes, int ac);

/* The single entry of a code of more than LOOK bits at the top of `bits`, 0 if there is none;
   *code: its bits. */
uint32_t huffman_long_code(const struct huffman_table *table, uint64_t bits, int *code);

#endif
