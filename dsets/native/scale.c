/* Bytes to floats, and floats to memory. */

#include "gather.h"

#include "native.h"

#include <string.h>

#ifdef __SSE2__
#include <immintrin.h>
#endif

#if defined(__x86_64__) && defined(__GNUC__) && __GNUC__ >= 11 && !defined(__clang__)
#define HAS_WIDE_PATHS /* compiled for processors with AVX2, F16C or AVX-512, taken where they are */
#endif

enum { LINE = 64 }; /* bytes, of a cache */

DISPATCH void scale_float32(const uint8_t *restrict in, size_t n, float scale, float bias,
                            float *restrict out) {
    for (size_t i = 0; i < n; i++) out[i] = (float)in[i] * scale + bias;
}

DISPATCH void scale_field_float32(const uint8_t *restrict in, const float *restrict field, size_t n,
                                  float scale, float bias, float *restrict out) {
    for (size_t i = 0; i < n; i++) out[i] = ((float)in[i] * scale + field[i]) + bias;
}

/* Round to nearest, ties to even, as IEEE 754 says; for finite values. */
static inline uint16_t half(float value) {
    uint32_t bits, shifted;
    memcpy(&bits, &value, 4);
    uint32_t sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
    uint32_t normal = (size - 0x38000000 + 0xfff + (size >> 13 & 1)) >> 13;
    float small; /* below 2**-14: adding 0.5 rounds to multiples of 2**-24 */
    memcpy(&small, &size, 4);
    small += 0.5f;
    memcpy(&shifted, &small, 4);
    uint32_t rounded = size < 0x38800000 ? shifted - 0x3f000000 : normal;
    return (uint16_t)(sign | (size >= 0x477ff000 ? 0x7c00 : rounded));
}

DISPATCH static void portable_float16(const uint8_t *restrict in, size_t n, float scale, float bias,
                                   uint16_t *restrict out) {
    for (size_t i = 0; i < n; i++) out[i] = half((float)in[i] * scale + bias);
}

DISPATCH void to_float16(const float *restrict in, size_t n, uint16_t *restrict out) {
    for (size_t i = 0; i < n; i++) out[i] = half(in[i]);
}

#ifdef HAS_WIDE_PATHS
__attribute__((target("avx2,f16c"))) static void scale_float16_f16c(const uint8_t *restrict in,
                                                                    size_t n, float scale,
                                                                    float bias,
                                                                    uint16_t *restrict out) {
    const __m256 factor = _mm256_set1_ps(scale), shift = _mm256_set1_ps(bias);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256i wide = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(in + i)));
        __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps(wide), factor);
        value = _mm256_add_ps(value, shift);
        _mm_storeu_si128((__m128i *)(out + i),
                         _mm256_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT));
    }
    for (; i < n; i++) out[i] = half((float)in[i] * scale + bias);
}
#endif

#ifdef HAS_WIDE_PATHS
/* 64 at a time, low and high bytes by themselves: less than half the steps of converting. */
__attribute__((target("avx512f,avx512bw,avx512vbmi"))) static void
look_up_vbmi(const uint8_t *restrict in, size_t n, const uint16_t *restrict results,
                uint16_t *restrict out) {
    __m512i low[4], high[4];
    const __m512i even = _mm512_set1_epi16(0xff);
    const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    for (int i = 0; i < 4; i++) {
        __m512i one = _mm512_loadu_si512(results + 64 * i);
        __m512i two = _mm512_loadu_si512(results + 64 * i + 32);
        low[i] = _mm512_permutexvar_epi64(
            order, _mm512_packus_epi16(_mm512_and_si512(one, even), _mm512_and_si512(two, even)));
        high[i] = _mm512_permutexvar_epi64(
            order, _mm512_packus_epi16(_mm512_srli_epi16(one, 8), _mm512_srli_epi16(two, 8)));
    }
    /* So ordered, interleaving within lanes gives the results in order. */
    const __m512i spread = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        __m512i at = _mm512_permutexvar_epi64(spread, _mm512_loadu_si512(in + i));
        __mmask64 upper = _mm512_movepi8_mask(at);
        __m512i lows = _mm512_mask_blend_epi8(upper, _mm512_permutex2var_epi8(low[0], at, low[1]),
                                              _mm512_permutex2var_epi8(low[2], at, low[3]));
        __m512i highs = _mm512_mask_blend_epi8(upper,
                                               _mm512_permutex2var_epi8(high[0], at, high[1]),
                                               _mm512_permutex2var_epi8(high[2], at, high[3]));
        _mm512_storeu_si512(out + i, _mm512_unpacklo_epi8(lows, highs));
        _mm512_storeu_si512(out + i + 32, _mm512_unpackhi_epi8(lows, highs));
    }
    for (; i < n; i++) out[i] = results[in[i]];
}
#endif

void scale_float16(const uint8_t *restrict in, size_t n, float scale, float bias,
                   uint16_t *restrict out) {
#ifdef HAS_WIDE_PATHS
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c")) {
        scale_float16_f16c(in, n, scale, bias, out);
        return;
    }
#endif
    portable_float16(in, n, scale, bias, out);
}

int float16_results(float scale, float bias, uint16_t results[256]) {
#ifdef HAS_WIDE_PATHS
    if (__builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512bw")) {
        uint8_t every[256];
        for (int i = 0; i < 256; i++) every[i] = (uint8_t)i;
        scale_float16(every, 256, scale, bias, results);
        return 1;
    }
#endif
    (void)scale, (void)bias, (void)results;
    return 0;
}

void look_up_float16(const uint8_t *restrict in, size_t n, const uint16_t results[256],
                     uint16_t *restrict out) {
#ifdef HAS_WIDE_PATHS
    look_up_vbmi(in, n, results, out);
#else
    for (size_t i = 0; i < n; i++) out[i] = results[in[i]];
#endif
}

#ifdef HAS_WIDE_PATHS
/* Sixteen values become a whole cache line, which goes to memory as it is, in one or two halves. */
__attribute__((target("avx2"))) static void
scale_halves(const uint8_t *restrict in, size_t n, float scale, float bias, float *restrict out) {
    const __m256 factor = _mm256_set1_ps(scale), shift = _mm256_set1_ps(bias);
    for (size_t i = 0; i < n; i += 8) {
        __m256i wide = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(in + i)));
        __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps(wide), factor);
        _mm256_stream_ps(out + i, _mm256_add_ps(value, shift));
    }
}

__attribute__((target("avx2"))) static void copy_halves(uint8_t *restrict out,
                                                        const uint8_t *restrict in, size_t bytes) {
    for (size_t i = 0; i < bytes; i += LINE / 2)
        _mm256_stream_si256((__m256i *)(out + i), _mm256_loadu_si256((const __m256i *)(in + i)));
}

__attribute__((target("avx512f"))) static void
scale_lines(const uint8_t *restrict in, size_t n, float scale, float bias, float *restrict out) {
    const __m512 factor = _mm512_set1_ps(scale), shift = _mm512_set1_ps(bias);
    for (size_t i = 0; i < n; i += 16) {
        __m512i wide = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(in + i)));
        __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(wide), factor);
        _mm512_stream_ps(out + i, _mm512_add_ps(value, shift));
    }
}

__attribute__((target("avx512f"))) static void copy_lines(uint8_t *restrict out,
                                                          const uint8_t *restrict in,
                                                          size_t bytes) {
    for (size_t i = 0; i < bytes; i += LINE)
        _mm512_stream_si512((void *)(out + i), _mm512_loadu_si512(in + i));
}
#endif

int scale_float32_past(const uint8_t *restrict in, size_t n, float scale, float bias,
                       float *restrict out) {
    void (*lines)(const uint8_t *restrict, size_t, float, float, float *restrict) = NULL;
#ifdef HAS_WIDE_PATHS
    if (__builtin_cpu_supports("avx2")) lines = scale_halves;
    if (__builtin_cpu_supports("avx512f")) lines = scale_lines;
#endif
    if (!lines) return 0;
    size_t head = (size_t)(-(uintptr_t)out % LINE) / sizeof *out;
    if (head > n) head = n;
    size_t whole = (n - head) / 16 * 16, tail = head + whole;
    scale_float32(in, head, scale, bias, out);
    lines(in + head, whole, scale, bias, out + head);
    scale_float32(in + tail, n - tail, scale, bias, out + tail);
    return 1;
}

void copy_past(void *restrict out, const void *restrict in, size_t bytes) {
#ifdef __SSE2__
    uint8_t *to = out;
    const uint8_t *from = in;
    size_t head = (size_t)(-(uintptr_t)to % LINE);
    if (bytes >= head + LINE) {
        memcpy(to, from, head);
        to += head, from += head, bytes -= head;
        void (*copy)(uint8_t *restrict, const uint8_t *restrict, size_t) = NULL;
#ifdef HAS_WIDE_PATHS
        if (__builtin_cpu_supports("avx2")) copy = copy_halves;
        if (__builtin_cpu_supports("avx512f")) copy = copy_lines;
#endif
        if (copy) {
            size_t lines = bytes / LINE * LINE;
            copy(to, from, lines);
            to += lines, from += lines, bytes -= lines;
        }
        for (; bytes >= LINE; to += LINE, from += LINE, bytes -= LINE)
            for (int i = 0; i < LINE; i += 16)
                _mm_stream_si128((__m128i *)(to + i), _mm_loadu_si128((const __m128i *)(from + i)));
    }
    memcpy(to, from, bytes);
#else
    memcpy(out, in, bytes);
#endif
}

void gather_fence(void) {
#ifdef __SSE2__
    _mm_sfence();
#endif
}
