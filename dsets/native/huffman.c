/* Huffman decoding of baseline JPEGs (ITU-T T.81, annex F.2.2), one or two symbols a step: half of
   the time of decoding photographs went into it.

   Only this step is ours. The library calls a function of its entropy decoder for each MCU; here
   that pointer is changed, and dequantisation, transform, upsampling and colours stay as they are. */

#include "huffman.h"

#include <stdlib.h>
#include <string.h>

#include "huffman_table.h"

#if defined(__GNUC__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && __SIZEOF_POINTER__ == 8

/* The first fields of the library's private structure: the same since 1998. */
struct jpeg_entropy_decoder {
    void (*start_pass)(j_decompress_ptr jpeg);
    boolean (*decode_mcu)(j_decompress_ptr jpeg, JBLOCKROW *blocks);
};

enum {
    TABLES = 2,   /* of each kind, in baseline images */
    BEYOND = 4096 /* zeros behind the data: more than the bytes of an MCU */
};

/* Where in the data we are: the next bits from the top on, `count` of them counted; what follows. */
struct input {
    uint64_t bits;
    int count;
    const uint8_t *at;
};

struct block {
    const struct huffman_table *dc, *ac;
    int component;
};

struct huffman {
    struct huffman_table dc[TABLES], ac[TABLES];
    struct block blocks[D_MAX_BLOCKS_IN_MCU];
    uint32_t last[MAX_COMPS_IN_SCAN]; /* the DC value before, of each component */
    struct input input;
    const uint8_t *end;
    struct failure *failure;
    uint8_t data[]; /* without the zeros that are stuffed behind 0xff */
};

/* From the place of a coefficient in the zigzag to its place in the block; a pair may point up to
   15 beyond before that is found out. */
static const uint8_t NATURAL[DCTSIZE2 + 16] = {
    0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33,
    40, 48, 41, 34, 27, 20, 13, 6,  7,  14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36,
    29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63,
};

/* At least 56 bits are counted afterwards: enough for any two steps. */
static inline __attribute__((always_inline)) void refill(struct input *in) {
    uint64_t next;
    memcpy(&next, in->at, sizeof next);
    in->bits |= __builtin_bswap64(next) >> in->count;
    in->at += (63 - in->count) >> 3;
    in->count |= 56;
}

static inline __attribute__((always_inline)) void consume(struct input *in, int bits) {
    in->bits <<= bits;
    in->count -= bits;
}

/* The value in `more` additional bits after `code` ones (T.81, F.2.2.1, EXTEND). */
static inline __attribute__((always_inline)) int value_of(uint64_t bits, int code, int more) {
    uint64_t rest = bits << code;
    uint32_t magnitude = (uint32_t)(rest >> 1 >> (63 - more));
    uint32_t negative = ~(uint32_t)((int64_t)rest >> 63);
    return (int)(magnitude - (negative & ((1u << more) - 1)));
}

/* One or two coefficients of a block, from *place on; 64 and more when it has ended. Where there is
   one, the first value is a 0 that goes where nothing is yet. Returns -1 for no code. */
static inline __attribute__((always_inline)) int step(struct input *in,
                                                      const struct huffman_table *table,
                                                      uint32_t *entry, int *place, JCOEF *out) {
    uint64_t bits = in->bits;
    *entry = table->pair[bits >> (64 - LOOK)];
    int code = code_bits(*entry);
    if (__builtin_expect(!*entry, 0)) {
        *entry = huffman_long_code(table, bits, &code);
        if (!*entry) return -1;
    }
    int value = value_of(bits, code, more_bits(*entry));
    consume(in, all_bits(*entry));
    out[NATURAL[*place + first_run(*entry)]] = (JCOEF)first_value(*entry);
    *place += run(*entry);
    if (*place >= DCTSIZE2) return 1;
    out[NATURAL[(*place)++]] = (JCOEF)value;
    return 0;
}

/* One block's coefficients, all 0 before. Returns -1 where the data are not as they should be. */
static inline __attribute__((always_inline)) int block_decode(struct input *in,
                                                              const struct block *block,
                                                              uint32_t *last, JCOEF *out) {
    refill(in);
    uint32_t entry = block->dc->symbol[in->bits >> (64 - LOOK)];
    int code = code_bits(entry);
    if (__builtin_expect(!entry, 0)) {
        entry = huffman_long_code(block->dc, in->bits, &code);
        if (!entry) return -1;
    }
    *last += (uint32_t)value_of(in->bits, code, more_bits(entry));
    out[0] = (JCOEF)*last;
    consume(in, all_bits(entry));

    int place = 1;
    struct input before = *in;
    int ended = step(in, block->ac, &entry, &place, out);
    while (!ended && place < DCTSIZE2) {
        refill(in);
        before = *in;
        ended = step(in, block->ac, &entry, &place, out);
        if (ended || place >= DCTSIZE2) break;
        before = *in;
        ended = step(in, block->ac, &entry, &place, out);
    }
    if (ended < 1) return ended;
    int first = place - run(entry) + first_run(entry);
    if (first_value(entry) && first >= DCTSIZE2 - 1) {
        if (first >= DCTSIZE2) return -1;
        /* The first was the block's last coefficient; the second is not the block's. */
        *in = before;
        consume(in, all_bits(block->ac->symbol[in->bits >> (64 - LOOK)]));
        return 0;
    }
    return run(entry) == END_OF_BLOCK ? 0 : -1;
}

static inline __attribute__((always_inline)) boolean mcu_decode(j_decompress_ptr jpeg,
                                                                JBLOCKROW *blocks) {
    struct huffman *own = jpeg->client_data;
    struct input in = own->input;
    JBLOCK unseen; /* of rows that are skipped, the library wants no coefficients */
    int bad = 0;
    for (int i = 0; i < jpeg->blocks_in_MCU && !bad; i++) {
        const struct block *block = &own->blocks[i];
        bad = block_decode(&in, block, &own->last[block->component], blocks ? *blocks[i] : unseen);
    }
    if (bad || (in.at - own->end) * 8 > in.count) {
        own->failure->again = 1;
        longjmp(own->failure->back, 1);
    }
    own->input = in;
    return TRUE;
}

static boolean mcu_plain(j_decompress_ptr jpeg, JBLOCKROW *blocks) {
    return mcu_decode(jpeg, blocks);
}
#if defined(__x86_64__)
__attribute__((target("bmi2"))) static boolean mcu_bmi2(j_decompress_ptr jpeg, JBLOCKROW *blocks) {
    return mcu_decode(jpeg, blocks);
}
#endif

/* Copy the scan's data without their stuffed zeros. Returns its end mark, or NULL if there is
   anything else. */
static const uint8_t *unstuff(struct huffman *own, const uint8_t *from, size_t length) {
    const uint8_t *end = from + length;
    uint8_t *to = own->data;
    while (end - from > 1) {
        const uint8_t *mark = memchr(from, 0xff, (size_t)(end - from - 1));
        if (!mark) return NULL;
        memcpy(to, from, (size_t)(mark - from));
        to += mark - from;
        if (mark[1]) {
            memset(to, 0, BEYOND);
            own->input = (struct input){0, 0, own->data};
            own->end = to;
            return mark[1] == JPEG_EOI ? mark : NULL;
        }
        *to++ = 0xff;
        from = mark + 2;
    }
    return NULL;
}

static int tables_make(struct huffman *own, struct jpeg_decompress_struct *jpeg) {
    int made[2][TABLES] = {{0}};
    for (int i = 0; i < jpeg->blocks_in_MCU; i++) {
        int component = jpeg->MCU_membership[i];
        int dc = jpeg->cur_comp_info[component]->dc_tbl_no;
        int ac = jpeg->cur_comp_info[component]->ac_tbl_no;
        if (dc < 0 || dc >= TABLES || ac < 0 || ac >= TABLES || !jpeg->dc_huff_tbl_ptrs[dc] ||
            !jpeg->ac_huff_tbl_ptrs[ac])
            return -1;
        if (!made[0][dc] && huffman_table_make(&own->dc[dc], jpeg->dc_huff_tbl_ptrs[dc], 0))
            return -1;
        if (!made[1][ac] && huffman_table_make(&own->ac[ac], jpeg->ac_huff_tbl_ptrs[ac], 1))
            return -1;
        made[0][dc] = made[1][ac] = 1;
        own->blocks[i] = (struct block){&own->dc[dc], &own->ac[ac], component};
    }
    return 0;
}

struct huffman *huffman_take(struct jpeg_decompress_struct *jpeg, struct failure *failure) {
    int sequential = !jpeg->progressive_mode && jpeg->Ss == 0 && jpeg->Se == DCTSIZE2 - 1 &&
                     jpeg->Ah == 0 && jpeg->Al == 0; /* lossless images have a predictor there */
    if (!sequential || jpeg->arith_code || jpeg->restart_interval || jpeg->data_precision != 8 ||
        jpeg_has_multiple_scans(jpeg))
        return NULL;
    struct jpeg_source_mgr *source = jpeg->src;
    struct huffman *own = malloc(sizeof *own + source->bytes_in_buffer + BEYOND);
    if (!own) return NULL;
    const uint8_t *mark = unstuff(own, source->next_input_byte, source->bytes_in_buffer);
    if (!mark || tables_make(own, jpeg)) {
        free(own);
        return NULL;
    }
    source->bytes_in_buffer -= (size_t)(mark - source->next_input_byte);
    source->next_input_byte = mark;
    memset(own->last, 0, sizeof own->last);
    own->failure = failure;
    jpeg->client_data = own;
    jpeg->entropy->decode_mcu = mcu_plain;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("bmi2")) jpeg->entropy->decode_mcu = mcu_bmi2;
#endif
    return own;
}

#else
struct huffman *huffman_take(struct jpeg_decompress_struct *jpeg, struct failure *failure) {
    (void)jpeg;
    (void)failure;
    return NULL;
}
#endif

void huffman_free(struct huffman *huffman) { free(huffman); }
