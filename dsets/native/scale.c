/* Bytes to floats, and floats to memory. */

#include "gather.h"

#include "native.h"

#include <string.h>

#ifdef __SSE2__
#include <immintrin.h>
#endif

#if defined(__x86_64__) && defined(__GNUC__) && __GNUC__ >= 11 && !defined(__clang__)
#define HAS_F16C_PATH /* compiled for processors with F16C, taken where there is one */
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

#ifdef HAS_F16C_PATH
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

void scale_float16(const uint8_t *restrict in, size_t n, float scale, float bias,
                   uint16_t *restrict out) {
#ifdef HAS_F16C_PATH
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c")) {
        scale_float16_f16c(in, n, scale, bias, out);
        return;
    }
#endif
    portable_float16(in, n, scale, bias, out);
}

void copy_past(void *restrict out, const void *restrict in, size_t bytes) {
#ifdef __SSE2__
    uint8_t *to = out;
    const uint8_t *from = in;
    size_t head = (size_t)(-(uintptr_t)to % LINE);
    if (bytes >= head + LINE) {
        memcpy(to, from, head);
        for (to += head, from += head, bytes -= head; bytes >= LINE;
             to += LINE, from += LINE, bytes -= LINE)
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
