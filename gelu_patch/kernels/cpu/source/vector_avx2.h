/* Eight floats in one AVX register, with FMA and F16C. The names are those of vector_portable.h. */
#ifndef GELU_PATCH_VECTOR_H
#define GELU_PATCH_VECTOR_H

#include <immintrin.h>
#include <stdint.h>

typedef __m256 V;
typedef struct {
    V a, b;
} pair;
#define LANES 8

#define INLINE static inline __attribute__((always_inline))

INLINE V v_set(float a) { return _mm256_set1_ps(a); }
INLINE V v_fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
INLINE V v_nfma(V a, V b, V c) { return _mm256_fnmadd_ps(a, b, c); }
INLINE V v_mad(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }

/* Two factors, since 2^n alone leaves the range of the exponent for n beyond 127 or below -126. */
INLINE V v_scale(V a, V n) {
    __m256i whole = _mm256_cvtps_epi32(n);
    __m256i first = _mm256_srai_epi32(whole, 1);
    __m256i second = _mm256_sub_epi32(whole, first);
    __m256i bias = _mm256_set1_epi32(127);
    V f = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(first, bias), 23));
    V g = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(second, bias), 23));
    return _mm256_mul_ps(_mm256_mul_ps(a, f), g);
}

INLINE V v_exponent(V raw) {
    __m256i bits = _mm256_slli_epi32(_mm256_castps_si256(raw), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(bits, _mm256_set1_epi32(127 << 23)));
}

INLINE V v_abs(V a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
INLINE V v_nearer_0(V a, V b) { return _mm256_blendv_ps(b, a, _mm256_cmp_ps(v_abs(a), v_abs(b), _CMP_LT_OQ)); }
/* MINPS and MAXPS return their second operand when one is NaN or both are zeros. */
INLINE V v_min(float bound, V a) { return _mm256_min_ps(_mm256_set1_ps(bound), a); }
INLINE V v_max(float bound, V a) { return _mm256_max_ps(_mm256_set1_ps(bound), a); }
INLINE V v_if_negative(V x, V a, V b) {
    return _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_LT_OQ));
}

INLINE pair v_load_f32(const float *p) { return (pair){_mm256_loadu_ps(p), _mm256_loadu_ps(p + LANES)}; }
INLINE void v_store_f32(float *p, pair v) {
    _mm256_storeu_ps(p, v.a);
    _mm256_storeu_ps(p + LANES, v.b);
}

INLINE pair v_load_bf16(const uint16_t *p) {
    __m256i bits = _mm256_loadu_si256((const __m256i *)p);
    __m256i odd = _mm256_and_si256(bits, _mm256_set1_epi32((int)0xffff0000));
    return (pair){_mm256_castsi256_ps(_mm256_slli_epi32(bits, 16)), _mm256_castsi256_ps(odd)};
}

INLINE __m256i round_bf16(V a) {
    __m256i bits = _mm256_castps_si256(a);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    return _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
}

INLINE void v_store_bf16(uint16_t *p, pair v) {
    __m256i even = _mm256_srli_epi32(round_bf16(v.a), 16);
    _mm256_storeu_si256((__m256i *)p, _mm256_blend_epi16(even, round_bf16(v.b), 0xaa));
}

INLINE pair v_load_f16(const uint16_t *p) {
    const __m128i *half = (const __m128i *)p;
    return (pair){_mm256_cvtph_ps(_mm_loadu_si128(half)), _mm256_cvtph_ps(_mm_loadu_si128(half + 1))};
}
INLINE void v_store_f16(uint16_t *p, pair v) {
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(v.a, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128((__m128i *)p + 1, _mm256_cvtps_ph(v.b, _MM_FROUND_TO_NEAREST_INT));
}

#include "power_polynomial.h"

#include "tail_rational.h"

#endif
