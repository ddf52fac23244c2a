/* The vector layer that every level provides, here in the generic vectors of GCC and clang: SSE2, NEON, any target.
 *
 *   v_fma(a, b, c)   a*b + c with one rounding; v_nfma: c - a*b. Error terms depend on the single rounding.
 *   v_mad(a, b, c)   a*b + c, fused or not, whichever is fast
 *   v_scale(a, n)    a * 2^n for integral n in [-250, 250]
 *   v_nearer_0(a, b) the one of the smaller size; a number where one is NaN is not asked for
 *   v_min(k, a)      the smaller; a when a is NaN.  v_max(k, a): the larger; a when a is NaN or both are zeros
 *   v_if_negative(x, a, b)   a where x < 0, else b
 *   v_load_*, v_store_*      a pair of vectors from and to 2 * LANES floats, bfloat16, float16, in any order, since all is
 *                            elementwise. Stores round to nearest even. The NaN that come to v_store_bf16 are those of
 *                            bfloat16 inputs or the processor's own: their lower bits are 0, so rounding keeps them
 *   v_split(a, b, down)      a*b = whole + f, with f left to the caller to sum exactly: a multiple of 1/16 or of 1
 *   v_power_32(e, f)         2^(e.whole + f - down), for exponents from -125 to 128.8; from 128.1 on it is inf, and
 *                            there the callers clamp. v_power_plus_32(e, f, c): c more. _16: for results in 16 bits
 *   v_scaled_power_32(m, e, f)   m * 2^(e.whole + f), subnormal results included, where down was 0
 *   v_tail_32(t), v_tail_16(t)   M(t) = exp(t^2/2) Phi(-t) for 0 <= t <= 14.5, and something small up to 15
 *   v_minus_tail_power_32(t, e, f, c)   c - t M(t) 2^(e.whole + f)
 */
#ifndef GELU_PATCH_VECTOR_H
#define GELU_PATCH_VECTOR_H

#include <stdint.h>
#include <string.h>

#define LANES 4
#define INLINE static inline __attribute__((always_inline))

typedef float V __attribute__((vector_size(4 * LANES)));
typedef struct {
    V a, b;
} pair;
typedef int32_t I __attribute__((vector_size(4 * LANES)));
typedef double W __attribute__((vector_size(8 * LANES)));
typedef uint16_t H __attribute__((vector_size(2 * LANES)));

INLINE V v_set(float a) { return (V){0} + a; }

#ifdef __FP_FAST_FMAF
INLINE V v_fma(V a, V b, V c) {
    V y;
    for (int i = 0; i < LANES; i++) y[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return y;
}
INLINE V v_mad(V a, V b, V c) { return v_fma(a, b, c); }
#else
/* The product of two floats is exact in double. */
INLINE V v_fma(V a, V b, V c) {
    return __builtin_convertvector(
        __builtin_convertvector(a, W) * __builtin_convertvector(b, W) + __builtin_convertvector(c, W), V);
}
INLINE V v_mad(V a, V b, V c) { return a * b + c; }
#endif
INLINE V v_nfma(V a, V b, V c) { return v_fma(-a, b, c); }

INLINE V v_choose(I mask, V a, V b) { return (V)((mask & (I)a) | (~mask & (I)b)); }

INLINE V v_scale(V a, V n) {
    I whole = __builtin_convertvector(v_choose(n == n, n, v_set(0.0f)), I); /* NaN has no integer */
    I first = whole >> 1;
    I second = whole - first;
    return a * (V)((first + 127) << 23) * (V)((second + 127) << 23);
}

INLINE V v_exponent(V raw) { return (V)(((I)raw << 23) + (127 << 23)); }

INLINE V v_abs(V a) { return (V)((I)a & 0x7fffffff); }
INLINE V v_min(float bound, V a) { return v_choose(a > bound, v_set(bound), a); }
INLINE V v_max(float bound, V a) { return v_choose(a < bound, v_set(bound), a); }
INLINE V v_nearer_0(V a, V b) { return v_choose(v_abs(a) < v_abs(b), a, b); }
INLINE V v_if_negative(V x, V a, V b) { return v_choose(x < 0.0f, a, b); }

INLINE pair v_load_f32(const float *p) {
    pair v;
    memcpy(&v, p, sizeof v);
    return v;
}
INLINE void v_store_f32(float *p, pair v) { memcpy(p, &v, sizeof v); }

INLINE pair v_load_bf16(const uint16_t *p) {
    I bits;
    memcpy(&bits, p, sizeof bits);
    return (pair){(V)(bits << 16), (V)(bits & ~0xffff)};
}

INLINE I round_bf16(V a) { return (I)a + 0x7fff + (((I)a >> 16) & 1); }

INLINE void v_store_bf16(uint16_t *p, pair v) {
    I bits = ((round_bf16(v.a) >> 16) & 0xffff) | (round_bf16(v.b) & ~0xffff);
    memcpy(p, &bits, sizeof bits);
}

/* float16 has 10 bits of fraction, 5 of exponent with bias 15. The bits of a number, moved to the place that they have
 * in a float, are the float times 2^-112; subnormals included. */
INLINE V half_to_float(I bits) {
    I special = (bits & 0x7c00) == 0x7c00; /* infinities and NaN keep an exponent of ones */
    V a = (V)((bits & 0x7fff) << 13) * 0x1p112f;
    return (V)((I)a | (special & 0x7f800000) | ((bits & 0x8000) << 16));
}

INLINE I float_to_half(V a) {
    V size = v_abs(a);
    I bits = (I)size;
    /* Below 2^-14 the result is subnormal, a multiple of 2^-24: adding 0.5 rounds there. */
    I small = (I)(size + 0.5f) - 0x3f000000;
    I normal = (bits + 0xfff + ((bits >> 13) & 1) - (112 << 23)) >> 13;
    I half = ((I)(size < 0x1p-14f) & small) | ((I)(size >= 0x1p-14f) & normal);
    I large = (I)(size >= 65520.0f);
    half = (large & 0x7c00) | (~large & half);
    I nan = (I)(a != a);
    half = (nan & (0x7e00 | ((bits >> 13) & 0x3ff))) | (~nan & half);
    return half | (((I)a >> 16) & 0x8000);
}

INLINE pair v_load_f16(const uint16_t *p) {
    H h[2];
    memcpy(h, p, sizeof h);
    return (pair){half_to_float(__builtin_convertvector(h[0], I)), half_to_float(__builtin_convertvector(h[1], I))};
}
INLINE void v_store_f16(uint16_t *p, pair v) {
    H h[2] = {__builtin_convertvector(float_to_half(v.a), H), __builtin_convertvector(float_to_half(v.b), H)};
    memcpy(p, h, sizeof h);
}

#include "power_polynomial.h"

#include "tail_rational.h"

#endif
