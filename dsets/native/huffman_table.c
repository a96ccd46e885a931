/* The codes of one Huffman table of a baseline JPEG, looked up one or two symbols at a time. */

#include "huffman_table.h"

#include <string.h>

enum {
    MOST_DC = 11, /* additional bits in 8-bit baseline images (ITU-T T.81, tables F.1 and F.2) */
    MOST_AC = 10,
    MOST_FIRST = 6 /* additional bits of the first of two: its value has 7 bits */
};

static uint32_t entry_of(const struct huffman_table *table, int code, int symbol) {
    int more = table->ac ? symbol & 15 : symbol, zeros = table->ac ? symbol >> 4 : 0;
    if (table->ac && more == 0 && zeros != 15) zeros = END_OF_BLOCK;
    return (uint32_t)(code + more) | (uint32_t)(code & 15) << 6 | (uint32_t)more << 10 |
           (uint32_t)zeros << 18;
}

/* Both symbols of the LOOK bits `i`, if they fit, else the first. */
static uint32_t pair_of(const struct huffman_table *table, uint32_t i) {
    uint32_t first = table->symbol[i];
    int all = all_bits(first), more = more_bits(first);
    if (more == 0 || more > MOST_FIRST || all >= LOOK) return first;
    uint32_t second = table->symbol[i << all & (ENTRIES - 1)];
    if (!second || all + code_bits(second) > LOOK) return first;
    int bits = (int)(i >> (LOOK - all)) & ((1 << more) - 1);
    int value = bits >> (more - 1) ? bits : bits + 1 - (1 << more);
    int place = run(second) == END_OF_BLOCK ? END_OF_BLOCK : run(first) + 1 + run(second);
    return (uint32_t)(all + all_bits(second)) | (uint32_t)(all + code_bits(second)) << 6 |
           (uint32_t)more_bits(second) << 10 | (uint32_t)run(first) << 14 | (uint32_t)place << 18 |
           (uint32_t)value << 25;
}

int huffman_table_make(struct huffman_table *table, const JHUFF_TBL *codes, int ac) {
    uint32_t code = 0;
    int place = 0;
    memset(table->symbol, 0, sizeof table->symbol);
    memcpy(table->value, codes->huffval, sizeof table->value);
    table->ac = ac;
    for (int bits = 1; bits <= LONGEST; bits++, code <<= 1) {
        table->offset[bits] = place - (int)code;
        for (int n = codes->bits[bits]; n > 0; n--, place++, code++) {
            if (place > 255 || code >> bits) return -1;
            int symbol = codes->huffval[place];
            if ((ac ? symbol & 15 : symbol) > (ac ? MOST_AC : MOST_DC)) return -1;
            if (bits > LOOK) continue;
            uint32_t *entry = table->symbol + (code << (LOOK - bits));
            for (int i = 0; i < 1 << (LOOK - bits); i++) entry[i] = entry_of(table, bits, symbol);
        }
        table->limit[bits] = code << (LONGEST - bits);
    }
    for (uint32_t i = 0; ac && i < ENTRIES; i++) table->pair[i] = pair_of(table, i);
    return 0;
}

uint32_t huffman_long_code(const struct huffman_table *table, uint64_t bits, int *code) {
    uint32_t next = (uint32_t)(bits >> (64 - LONGEST));
    for (*code = LOOK + 1; *code <= LONGEST; ++*code)
        if (next < table->limit[*code]) {
            int place = (int)(next >> (LONGEST - *code)) + table->offset[*code];
            return entry_of(table, *code, table->value[place & 255]);
        }
    return 0;
}
