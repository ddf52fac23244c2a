/* Sixteen floats in one AVX-512 register. The names are those of vector_portable.h, which says what they mean. */
#ifndef GELU_PATCH_VECTOR_H
#define GELU_PATCH_VECTOR_H

#include <immintrin.h>
#include <stdint.h>

typedef __m512 V;
typedef struct {
    V a, b;
} pair;
#define LANES 16

#define INLINE static inline __attribute__((always_inline))

INLINE V v_set(float a) { return _mm512_set1_ps(a); }
INLINE V v_fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
INLINE V v_nfma(V a, V b, V c) { return _mm512_fnmadd_ps(a, b, c); }
INLINE V v_mad(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
INLINE V v_scale(V a, V n) { return _mm512_scalef_ps(a, n); }
INLINE V v_abs(V a) { return _mm512_abs_ps(a); }
/* 2: the smaller in size; 4: with its own sign. */
INLINE V v_nearer_0(V a, V b) { return _mm512_range_ps(a, b, 6); }
/* MINPS and MAXPS return their second operand when one is NaN or both are zeros. */
INLINE V v_min(float bound, V a) { return _mm512_min_ps(_mm512_set1_ps(bound), a); }
INLINE V v_max(float bound, V a) { return _mm512_max_ps(_mm512_set1_ps(bound), a); }
INLINE V v_if_negative(V x, V a, V b) {
    return _mm512_mask_mov_ps(b, _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ), a);
}

INLINE pair v_load_f32(const float *p) { return (pair){_mm512_loadu_ps(p), _mm512_loadu_ps(p + LANES)}; }
INLINE void v_store_f32(float *p, pair v) {
    _mm512_storeu_ps(p, v.a);
    _mm512_storeu_ps(p + LANES, v.b);
}

INLINE pair v_load_bf16(const uint16_t *p) {
    __m512i bits = _mm512_loadu_si512(p);
    __m512i odd = _mm512_and_si512(bits, _mm512_set1_epi32((int)0xffff0000));
    return (pair){_mm512_castsi512_ps(_mm512_slli_epi32(bits, 16)), _mm512_castsi512_ps(odd)};
}

/* The hardware's conversion would flush subnormal results to zero. */
INLINE __m512i round_bf16(V a) {
    __m512i bits = _mm512_castps_si512(a);
    __mmask16 odd = _mm512_test_epi32_mask(bits, _mm512_set1_epi32(0x10000));
    bits = _mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff));
    return _mm512_mask_add_epi32(bits, odd, bits, _mm512_set1_epi32(1));
}

INLINE void v_store_bf16(uint16_t *p, pair v) {
    __m512i even = _mm512_srli_epi32(round_bf16(v.a), 16);
    _mm512_storeu_si512(p, _mm512_mask_blend_epi16(0xaaaaaaaau, even, round_bf16(v.b)));
}

INLINE pair v_load_f16(const uint16_t *p) {
    const __m256i *half = (const __m256i *)p;
    return (pair){_mm512_cvtph_ps(_mm256_loadu_si256(half)), _mm512_cvtph_ps(_mm256_loadu_si256(half + 1))};
}
INLINE void v_store_f16(uint16_t *p, pair v) {
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(v.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    _mm256_storeu_si256((__m256i *)p + 1, _mm512_cvtps_ph(v.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

/* Exponentials, in sixteenths: the low four bits of `raw`, a number with a magic constant added, look up a power in
 * one register; the bits above them are the integral part, which becomes the exponent by a shift. */
typedef struct {
    V raw, whole;
} split;

INLINE split v_split(V a, V b, float down) {
    const V magic = v_set(786432.0f - down); /* 1.5 * 2^19: the last bit of the sum is 1/16 */
    V raw = v_fma(a, b, magic);
    return (split){raw, _mm512_sub_ps(raw, magic)};
}

#define LOOK_UP(e, table) _mm512_permutexvar_ps(_mm512_castps_si512((e).raw), _mm512_load_ps(table))

/* 2^z = 2^f 2^whole = (C 2^f) (2^whole / C). C is the float in [1.87, 1.955] for which the sixteen quotients are
 * nearest to floats (0.32 * 2^-24, relatively), and C 2^f stays in the upper part of [1, 2), where roundings weigh
 * least (tools/find_power_table.py). The bits of k / 16 which the shift leaves behind are taken off the table. */
#define POWER_C 1.91652918f

static const float WHOLE_POWERS[16] __attribute__((aligned(64))) = {
    0.521776557f, 0.544877589f, 0.569001377f, 0.59419322f,  0.620500386f, 0.647972286f, 0.676660478f, 0.706618786f,
    0.737903476f, 0.770573258f, 0.804689467f, 0.840316117f, 0.877520084f, 0.916371226f, 0.956942439f, 0.999309897f};

INLINE V whole_power(split e) {
    const __m512i k = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i left_behind = _mm512_slli_epi32(k, 19);
    __m512i table = _mm512_sub_epi32(_mm512_castps_si512(_mm512_load_ps(WHOLE_POWERS)), left_behind);
    __m512i raw = _mm512_castps_si512(e.raw);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_permutexvar_epi32(raw, table), _mm512_slli_epi32(raw, 19)));
}

/* C 2^f for |f| <= 1/32, with a relative error of 1.6e-9, ... */
INLINE V fraction_power_32(V f) {
    V p = v_fma(v_set(0.106371462f), f, v_set(0.460416019f));
    return v_fma(v_fma(p, f, v_set(1.32843685f)), f, v_set(POWER_C));
}
/* ... or 4.3e-7. */
INLINE V fraction_power_16(V f) {
    return v_fma(v_fma(v_set(0.460400969f), f, v_set(1.32851446f)), f, v_set(POWER_C));
}
INLINE V v_power_32(split e, V f) { return fraction_power_32(f) * whole_power(e); }
INLINE V v_power_16(split e, V f) { return fraction_power_16(f) * whole_power(e); }
INLINE V v_power_plus_32(split e, V f, float c) { return v_fma(fraction_power_32(f), whole_power(e), v_set(c)); }
INLINE V v_power_plus_16(split e, V f, float c) { return v_fma(fraction_power_16(f), whole_power(e), v_set(c)); }

/* For m 2^z: 2^(k/16), and what is missing there, relatively. */
static const float SIXTEENTHS[16] __attribute__((aligned(64))) = {
    1.0f,         1.04427378f, 1.09050773f, 1.13878863f, 1.18920712f, 1.24185781f, 1.29683955f, 1.35425555f,
    1.41421356f,  1.47682615f, 1.54221083f, 1.61049033f, 1.68179283f, 1.75625216f, 1.83400809f, 1.91520656f};

static const float SIXTEENTHS_LOST[16] __attribute__((aligned(64))) = {
    0.0f, 4.62854715e-08f, -1.19921575e-08f, 4.72978243e-08f,
    3.19341815e-08f, 3.62105723e-08f, -3.09907193e-08f, -7.47521334e-09f,
    1.71142709e-08f, -3.04768335e-08f, 5.23333421e-09f, 6.10759177e-09f,
    -1.47196051e-08f, -5.25879518e-09f, -6.12825968e-09f, 5.14060927e-09f};

/* 2^f (1 + lost) - 1 */
INLINE V growth_32(split e, V f) {
    V p = v_fma(v_fma(v_set(0.0555021226f), f, v_set(0.240234345f)), f, v_set(0.693147182f));
    return v_fma(p, f, LOOK_UP(e, SIXTEENTHS_LOST));
}
INLINE V v_scaled_power_32(V m, split e, V f) {
    m = m * LOOK_UP(e, SIXTEENTHS);
    return v_scale(v_fma(m, growth_32(e, f), m), e.whole);
}
INLINE V times_sixteenth_power_16(V m, split e, V f) {
    m = m * LOOK_UP(e, SIXTEENTHS);
    return v_fma(m * f, v_fma(v_set(0.240226445f), f, v_set(0.693187979f)), m);
}
INLINE V v_scaled_power_16(V m, split e, V f) { return v_scale(times_sixteenth_power_16(m, e, f), e.whole); }

/* The scaled tail M(t) = exp(t^2/2) Phi(-t) from one polynomial per segment. The segments are the quarters of
 * the octaves of t + 1, so that four bits of the float t + 1 are the number of the segment, and a permutation of one
 * register is the look-up of a coefficient. */
#include "tail_table.h"

#define TAIL(k) _mm512_permutexvar_ps(segment, _mm512_load_ps(TAIL_TABLE[k]))

/* M(t) = first + slope d; first is a float, exactly. */
typedef struct {
    V first, slope, d;
} tail_terms;

INLINE tail_terms tail_32(V t) {
    __m512i segment = _mm512_srli_epi32(_mm512_castps_si512(_mm512_add_ps(t, v_set(1.0f))), 21);
    V d = _mm512_sub_ps(t, _mm512_permutexvar_ps(segment, _mm512_load_ps(TAIL_CENTRES)));
    V p = v_fma(TAIL(6), d, TAIL(5));
    p = v_fma(p, d, TAIL(4));
    p = v_fma(p, d, TAIL(3));
    p = v_fma(p, d, TAIL(2));
    p = v_fma(p, d, TAIL(1));
    return (tail_terms){TAIL(0), p, d};
}
#undef TAIL

INLINE V v_tail_32(V t) {
    tail_terms m = tail_32(t);
    return v_fma(m.slope, m.d, m.first);
}
/* c - t M(t) 2^z, with few roundings: the growth 2^f - 1 goes to the small term, and the rounding error of the last
 * product is subtracted too. t is scaled, since it stays normal as long as the result does. */
INLINE V v_minus_tail_power_32(V t, split e, V f, V c) {
    tail_terms m = tail_32(t);
    V second = v_fma(m.slope, m.d, v_fma(m.slope, m.d, m.first) * growth_32(e, f));
    V sixteenth = LOOK_UP(e, SIXTEENTHS);
    V sum = m.first + second;
    V product = sum * sixteenth;
    V lost = v_fma(sum, sixteenth, -product);
    V scaled = v_scale(t, e.whole);
    return v_nfma(scaled, product, v_nfma(scaled, lost, c));
}

#define TAIL(k) _mm512_permutexvar_ps(segment, _mm512_load_ps(TAIL_TABLE_16[k]))

INLINE V v_tail_16(V t) {
    __m512i segment = _mm512_srli_epi32(_mm512_castps_si512(_mm512_add_ps(t, v_set(1.0f))), 21);
    V d = _mm512_sub_ps(t, _mm512_permutexvar_ps(segment, _mm512_load_ps(TAIL_CENTRES)));
    V p = v_fma(TAIL(4), d, TAIL(3));
    p = v_fma(p, d, TAIL(2));
    p = v_fma(p, d, TAIL(1));
    return v_fma(p, d, TAIL(0));
}
#undef TAIL

INLINE V v_minus_tail_power_16(V t, split e, V f, V c) {
    return v_nfma(v_scale(t, e.whole), times_sixteenth_power_16(v_tail_16(t), e, f), c);
}

#endif
