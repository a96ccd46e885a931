/* Images out of a pack: a window of each, mirrored or not, copied or scaled, in one pass.

   A window is made as planes of bytes, a block of lines that stays in the level-1 cache, then
   scaled with long loops. It is the writing that costs: float32 is four times what is read. */

#include "gather.h"

#include "native.h"

#include <string.h>

#ifndef __has_builtin
#define __has_builtin(x) 0
#endif

enum {
    BLOCK = 3072, /* bytes of pixels: with them scaled to float32, half a level-1 cache */
    AHEAD = 12288, /* bytes */
    LINE = 64,    /* of a cache */
    LOOKED_UP = 4 /* channels, at most */
};

/* The part of a window's line that the image covers: shown in columns first … first +
   count - 1. */
struct visible {
    int64_t first, count, source; /* source: its leftmost column in the image */
};

static int64_t clamp(int64_t value, int64_t least, int64_t most) {
    return value < least ? least : value > most ? most : value;
}

static struct visible visible_part(const struct stored *stored, const struct window *window) {
    int64_t left = clamp(window->left, -window->width, stored->width);
    int64_t begin = left < 0 ? -left : 0;
    int64_t end = clamp(stored->width - left, 0, window->width);
    struct visible part = {begin, end > begin ? end - begin : 0, left + begin};
    if (window->mirrored) part.first = window->width - begin - part.count;
    return part;
}

/* The source line of a window's line, or -1 when it is outside. */
static int64_t source_line(const struct stored *stored, const struct window *window, int64_t y) {
    int64_t top = clamp(window->top, -window->height, stored->height);
    return top + y >= 0 && top + y < stored->height ? top + y : -1;
}

/* ---- Asking ahead ---- */

/* Ask for the cache lines of some bytes that will be read soon: processors do not look beyond the
   page that they read. Inlined always, for a call without an effect is left out. */
__attribute__((always_inline)) static inline void expect(const uint8_t *from, const uint8_t *end) {
#if __has_builtin(__builtin_prefetch)
    for (; from < end; from += LINE) __builtin_prefetch(from);
#else
    (void)from, (void)end;
#endif
}

static int is_small(const struct stored *stored) {
    return stored->height * stored->width * stored->channels <= AHEAD;
}

/* Ask for what a window shows in its line y; of a small image, of whose lines several share one of
   the cache, for a share of the whole. */
__attribute__((always_inline)) static inline void
expect_line(const struct shown *shown, const struct stored *stored, int64_t y) {
    if (is_small(stored)) {
        int64_t bytes = stored->height * stored->width * stored->channels;
        int64_t share = (bytes / shown->window.height + LINE) / LINE * LINE;
        if (y * share < bytes)
            expect(shown->image + y * share, shown->image + clamp((y + 1) * share, 0, bytes));
        return;
    }
    int64_t line = source_line(stored, &shown->window, y);
    if (line < 0) return;
    struct visible part = visible_part(stored, &shown->window);
    int64_t group = stored->planar ? 1 : stored->channels, width = stored->width * group;
    int64_t planes = stored->planar ? stored->channels : 1;
    const uint8_t *from = shown->image + line * width + part.source * group;
    for (int64_t c = 0; c < planes; c++) {
        const uint8_t *in = from + c * stored->height * width;
        expect(in - (uintptr_t)in % LINE, in + part.count * group);
    }
}

/* Lines of a window between what is read and what is asked for. */
static int64_t distance(const struct stored *stored, const struct window *window) {
    if (is_small(stored)) return window->height;
    return clamp(AHEAD / (stored->width * stored->channels), 1, window->height);
}

/* While a line is made, ask for one further on: of this window, and behind its end of the next. */
__attribute__((always_inline)) static inline void expect_ahead(const struct shown *now,
                                                               const struct shown *next,
                                                               const struct stored *stored,
                                                               int64_t y) {
    int64_t height = now->window.height, ahead = y + distance(stored, &now->window);
    if (ahead < height)
        expect_line(now, stored, ahead);
    else if (next->image)
        expect_line(next, stored, ahead - height);
}

/* ---- Lines of bytes ---- */

#if __has_builtin(__builtin_shufflevector)
typedef uint8_t v16 __attribute__((vector_size(16)));
#define REVERSED(x)                                                                                \
    __builtin_shufflevector(x, x, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
#endif

/* Lines are short, so a call of memcpy for each would count; the last step overlaps its last. */
static inline void copy_line(const uint8_t *restrict in, int64_t n, int mirrored,
                             uint8_t *restrict out) {
#if __has_builtin(__builtin_shufflevector)
    for (int64_t i = 0; n >= 16 && i < n; i += 16) {
        v16 part;
        if (i > n - 16) i = n - 16;
        memcpy(&part, in + i, 16);
        if (mirrored) part = REVERSED(part);
        memcpy(out + (mirrored ? n - 16 - i : i), &part, 16);
    }
    if (n >= 16) return;
#endif
    for (int64_t i = 0; i < n; i++) out[mirrored ? n - 1 - i : i] = in[i];
}

#if __has_builtin(__builtin_shufflevector)
/* Byte c, c + 3, … c + 45 of three vectors; the compilers' own way takes twice as long. */
#define EVERY_THIRD(x, y, z, c)                                                                    \
    __builtin_shufflevector(                                                                       \
        __builtin_shufflevector(x, y, c, c + 3, c + 6, c + 9, c + 12, c + 15, c + 18, c + 21,      \
                                c + 24, c + 27, (c + 30) % 32, 0, 0, 0, 0, 0),                     \
        z, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, c == 2 ? 16 : 10, c + 17, c + 20, c + 23, c + 26, c + 29)
#endif

static inline void split3(const uint8_t *restrict in, int64_t n, int mirrored, uint8_t *restrict a,
                          uint8_t *restrict b, uint8_t *restrict c) {
    int64_t i = 0;
#if __has_builtin(__builtin_shufflevector)
    for (; i + 16 <= n; i += 16) {
        v16 x, y, z;
        memcpy(&x, in + 3 * i, 16);
        memcpy(&y, in + 3 * i + 16, 16);
        memcpy(&z, in + 3 * i + 32, 16);
        v16 first = EVERY_THIRD(x, y, z, 0), second = EVERY_THIRD(x, y, z, 1);
        v16 third = EVERY_THIRD(x, y, z, 2);
        int64_t to = i;
        if (mirrored) {
            to = n - 16 - i;
            first = REVERSED(first), second = REVERSED(second), third = REVERSED(third);
        }
        memcpy(a + to, &first, 16);
        memcpy(b + to, &second, 16);
        memcpy(c + to, &third, 16);
    }
#endif
    for (; i < n; i++) {
        int64_t to = mirrored ? n - 1 - i : i;
        a[to] = in[3 * i];
        b[to] = in[3 * i + 1];
        c[to] = in[3 * i + 2];
    }
}

#if __has_builtin(__builtin_shufflevector)
/* Bytes 16 k … 16 k + 15 of three vectors that take turns: byte m is of vector m % 3. */
#define TURNS(a, b, c, k)                                                                          \
    __builtin_shufflevector(                                                                       \
        __builtin_shufflevector(a, b, AT(k, 0), AT(k, 1), AT(k, 2), AT(k, 3), AT(k, 4), AT(k, 5),  \
                                AT(k, 6), AT(k, 7), AT(k, 8), AT(k, 9), AT(k, 10), AT(k, 11),      \
                                AT(k, 12), AT(k, 13), AT(k, 14), AT(k, 15)),                       \
        c, OF(k, 0), OF(k, 1), OF(k, 2), OF(k, 3), OF(k, 4), OF(k, 5), OF(k, 6), OF(k, 7),         \
        OF(k, 8), OF(k, 9), OF(k, 10), OF(k, 11), OF(k, 12), OF(k, 13), OF(k, 14), OF(k, 15))
#define TURN(k, m) ((16 * (k) + (m)) % 3)
#define PLACE(k, m) ((16 * (k) + (m)) / 3)
#define AT(k, m) (TURN(k, m) == 2 ? 0 : TURN(k, m) * 16 + PLACE(k, m))
#define OF(k, m) (TURN(k, m) == 2 ? 16 + PLACE(k, m) : (m))

static inline v16 sixteen(const uint8_t *in, int64_t n, int64_t i, int mirrored) {
    v16 part;
    memcpy(&part, in + (mirrored ? n - 16 - i : i), 16);
    return mirrored ? REVERSED(part) : part;
}
#endif

static inline void merge3(const uint8_t *restrict a, const uint8_t *restrict b,
                          const uint8_t *restrict c, int64_t n, int mirrored,
                          uint8_t *restrict out) {
#if __has_builtin(__builtin_shufflevector)
    for (int64_t i = 0; n >= 16 && i < n; i += 16) {
        if (i > n - 16) i = n - 16; /* the last step overlaps the one before */
        v16 x = sixteen(a, n, i, mirrored), y = sixteen(b, n, i, mirrored);
        v16 z = sixteen(c, n, i, mirrored);
        v16 first = TURNS(x, y, z, 0), second = TURNS(x, y, z, 1), third = TURNS(x, y, z, 2);
        memcpy(out + 3 * i, &first, 16);
        memcpy(out + 3 * i + 16, &second, 16);
        memcpy(out + 3 * i + 32, &third, 16);
    }
    if (n >= 16) return;
#endif
    for (int64_t i = 0; i < n; i++) {
        int64_t from = mirrored ? n - 1 - i : i;
        out[3 * i] = a[from];
        out[3 * i + 1] = b[from];
        out[3 * i + 2] = c[from];
    }
}

/* Lines y … y + count - 1 of the window as planes, each `count` lines high. */
DISPATCH static void planes(const struct shown *now, const struct shown *next,
                            const struct stored *stored, int64_t y, int64_t count,
                            uint8_t *restrict out) {
    const uint8_t *image = now->image;
    const struct window *window = &now->window;
    struct visible part = visible_part(stored, window);
    int64_t channels = stored->channels, width = window->width, plane = count * width;
    if (part.count < width || source_line(stored, window, y) < 0 ||
        source_line(stored, window, y + count - 1) < 0)
        memset(out, 0, (size_t)(plane * channels));
    if (part.count == 0) return;
    for (int64_t row = 0; row < count; row++) {
        int64_t line = source_line(stored, window, y + row);
        uint8_t *at = out + row * width;
        expect_ahead(now, next, stored, y + row);
        if (line < 0) continue;
        at += part.first;
        if (stored->planar || channels == 1) {
            int64_t stride = stored->height * stored->width;
            const uint8_t *in = image + line * stored->width + part.source;
            for (int64_t c = 0; c < channels; c++) {
                copy_line(in + c * stride, part.count, window->mirrored, at + c * plane);
            }
            continue;
        }
        const uint8_t *in = image + (line * stored->width + part.source) * channels;
        if (channels == 3) {
            split3(in, part.count, window->mirrored, at, at + plane, at + 2 * plane);
        } else {
            for (int64_t x = 0; x < part.count; x++)
                for (int64_t c = 0; c < channels; c++)
                    at[c * plane + (window->mirrored ? part.count - 1 - x : x)] =
                        in[x * channels + c];
        }
    }
}

/* ---- uint8, channels last ---- */

static inline void mirror3(const uint8_t *restrict in, int64_t n, uint8_t *restrict out) {
    int64_t i = 0;
#if __has_builtin(__builtin_shufflevector)
    /* Five pixels a step; a step reads and writes one byte more, which the next one puts right. */
    for (; i + 6 <= n; i += 5) {
        v16 five;
        memcpy(&five, in + 3 * (n - i - 5) - 1, 16);
        five = __builtin_shufflevector(five, five, 13, 14, 15, 10, 11, 12, 7, 8, 9, 4, 5, 6, 1, 2,
                                       3, 0);
        memcpy(out + 3 * i, &five, 16);
    }
#endif
    for (; i < n; i++) memcpy(out + 3 * i, in + 3 * (n - 1 - i), 3);
}

/* Lines y … y + count - 1 of the window. */
DISPATCH static void copy_lines(const struct shown *now, const struct shown *next,
                                const struct stored *stored, int64_t y, int64_t count,
                                uint8_t *restrict out) {
    const uint8_t *image = now->image;
    const struct window *window = &now->window;
    struct visible part = visible_part(stored, window);
    int64_t channels = stored->channels, width = window->width;
    for (int64_t row = 0; row < count; row++, out += width * channels) {
        int64_t line = source_line(stored, window, y + row);
        expect_ahead(now, next, stored, y + row);
        if (line < 0 || part.count < width) memset(out, 0, (size_t)(width * channels));
        if (line < 0 || part.count == 0) continue;
        uint8_t *at = out + part.first * channels;
        if (stored->planar && channels > 1) {
            int64_t stride = stored->height * stored->width;
            const uint8_t *in = image + line * stored->width + part.source;
            if (channels == 3) {
                merge3(in, in + stride, in + 2 * stride, part.count, window->mirrored, at);
            } else {
                for (int64_t x = 0; x < part.count; x++)
                    for (int64_t c = 0; c < channels; c++)
                        at[(window->mirrored ? part.count - 1 - x : x) * channels + c] =
                            in[c * stride + x];
            }
            continue;
        }
        const uint8_t *in = image + (line * stored->width + part.source) * channels;
        if (!window->mirrored) {
            memcpy(at, in, (size_t)(part.count * channels));
        } else if (channels == 1) {
            copy_line(in, part.count, 1, at);
        } else if (channels == 3) {
            mirror3(in, part.count, at);
        } else {
            for (int64_t x = 0; x < part.count; x++)
                memcpy(at + x * channels, in + (part.count - 1 - x) * channels, (size_t)channels);
        }
    }
}

/* ---- One image ---- */

static int64_t lines_a_block(const struct stored *stored, const struct window *window) {
    int64_t lines = BLOCK / (stored->channels * window->width);
    return clamp(lines, 1, window->height);
}

static size_t plane_bytes(const struct stored *stored, const struct window *window) {
    return (size_t)(lines_a_block(stored, window) * window->width);
}

size_t gather_scratch(const struct stored *stored, const struct window *window) {
    size_t floats = 2 * plane_bytes(stored, window); /* scaled, and the field behind the bytes */
    return plane_bytes(stored, window) * (size_t)stored->channels + floats * sizeof(float) +
           2 * LINE;
}

/* The window as bytes, channels last; past the caches by way of a block that stays in one. */
static void copy(const struct shown *now, const struct shown *next, const struct stored *stored,
                 int bypass, uint8_t *restrict block, uint8_t *restrict out) {
    const struct window *window = &now->window;
    int64_t step = lines_a_block(stored, window);
    int64_t line = window->width * stored->channels;
    for (int64_t y = 0; y < window->height; y += step, out += step * line) {
        int64_t lines = clamp(window->height - y, 1, step);
        copy_lines(now, next, stored, y, lines, bypass ? block : out);
        if (bypass) copy_past(out, block, (size_t)(lines * line));
    }
}

/* The field of one channel, as the window shows lines y … y + count - 1 of it. */
static void field_lines(const float *field, const struct stored *stored,
                        const struct window *window, int64_t y, int64_t count,
                        float *restrict out) {
    struct visible part = visible_part(stored, window);
    for (int64_t row = 0; row < count; row++, out += window->width) {
        int64_t line = source_line(stored, window, y + row);
        if (line < 0 || part.count < window->width)
            memset(out, 0, (size_t)window->width * sizeof *out);
        if (line < 0 || part.count == 0) continue;
        const float *in = field + line * stored->width + part.source;
        float *at = out + part.first;
        if (!window->mirrored) {
            memcpy(at, in, (size_t)part.count * sizeof *at);
            continue;
        }
        for (int64_t x = 0; x < part.count; x++) at[x] = in[part.count - 1 - x];
    }
}

void gather(const struct shown *now, const struct shown *next, const struct stored *stored,
            const struct finish *finish, uint8_t *scratch, void *out) {
    const struct window *window = &now->window;
    scratch += -(uintptr_t)scratch % LINE;
    if (finish->type == GATHER_UINT8) {
        copy(now, next, stored, finish->bypass, scratch, out);
        return;
    }
    size_t item = finish->type == GATHER_FLOAT32 ? sizeof(float) : sizeof(uint16_t);
    size_t most = plane_bytes(stored, window);
    void *scaled = scratch;
    uint8_t *bytes = scratch + most * sizeof(float);
    uint8_t *behind = bytes + most * (size_t)stored->channels;
    float *field = (float *)(void *)(behind + -(uintptr_t)behind % LINE);
    int64_t step = lines_a_block(stored, window), size = window->height * window->width;
    uint16_t results[LOOKED_UP][256];
    int looked_up = finish->type == GATHER_FLOAT16 && !finish->field &&
                    stored->channels <= LOOKED_UP;
    for (int64_t c = 0; looked_up && c < stored->channels; c++)
        looked_up = float16_results(finish->scale[c], finish->bias[c], results[c]);
    for (int64_t y = 0; y < window->height; y += step) {
        int64_t lines = clamp(window->height - y, 1, step);
        size_t count = (size_t)(lines * window->width);
        planes(now, next, stored, y, lines, bytes);
        for (int64_t c = 0; c < stored->channels; c++) {
            uint8_t *to = (uint8_t *)out + (size_t)(c * size + y * window->width) * item;
            void *target = finish->bypass ? scaled : to;
            const uint8_t *in = bytes + (size_t)c * count;
            float scale = finish->scale[c], bias = finish->bias[c];
            if (finish->field) {
                int half = finish->type == GATHER_FLOAT16;
                field_lines(finish->field + c * stored->height * stored->width, stored, window, y,
                            lines, field);
                scale_field_float32(in, field, count, scale, bias, half ? scaled : target);
                if (half) to_float16(scaled, count, (uint16_t *)(void *)(field));
                if (half) memcpy(target, field, count * item);
            } else if (finish->type == GATHER_FLOAT32) {
                if (finish->bypass &&
                    scale_float32_past(in, count, scale, bias, (float *)(void *)to))
                    continue;
                scale_float32(in, count, scale, bias, target);
            } else if (looked_up) {
                look_up_float16(in, count, results[c], target);
            } else {
                scale_float16(in, count, scale, bias, target);
            }
            if (finish->bypass) copy_past(to, scaled, count * item);
        }
    }
}
