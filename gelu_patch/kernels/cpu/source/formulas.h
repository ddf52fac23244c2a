/* The formulas, once for all levels, in the vocabulary of vector_portable.h.
 *
 * The GELUs and SiLU are x * sigmoid-like, written with an exponential whose argument is never rounded as a whole:
 * z = n + f with integral n and |f| <= 1/2, where f is summed with its rounding errors. A relative error of z would
 * be multiplied by z in the left tail, which is where the usual formulas lose all digits.
 *
 *   erf     y = max(x, 0) - t Q(t), t = |x|, Q(t) = Phi(-t) = 2^(C t^2) M(t); derivative 1 - h for x >= 0, h for
 *           x < 0, h = Q - t phi(t)
 *   sigmoid y = x / (1 + 2^z); derivative s + x s o dz with s = 1 / (1 + 2^z), o = 2^z s (never 1 - s)
 *
 * GELU: Hendrycks and Gimpel, arXiv:1606.08415, section 2. The constants are base-2 forms of theirs. Error terms by
 * fused multiply-add: Dekker, Numer. Math. 18 (1971).
 * Clamps only stop inf * 0; a NaN passes through them. */

/* ---- erf ---------------------------------------------------------------------------------------------------- */

/* C = -log2(e) / 2 as the sum of two floats. */
#define ERF_C_HIGH -0.7213475108146667f
#define ERF_C_LOW -9.62981517e-09f
/* Here Phi(-t) is below half of the smallest float. */
#define ERF_LIMIT 14.5f

/* exp(-t^2/2) = 2^(e.whole + f) */
INLINE split normal_exponent(V t, V *f) {
    const V high = v_set(ERF_C_HIGH);
    V u = t * t;
    split e = v_split(u, high);
    V low = v_fma(high, v_fma(t, t, -u), u * ERF_C_LOW);
    *f = v_fma(u, high, -e.whole) + low;
    return e;
}

INLINE split normal_exponent_16(V t, V *f) {
    const V high = v_set(ERF_C_HIGH);
    V u = t * t;
    split e = v_split(u, high);
    *f = v_fma(u, high, -e.whole);
    return e;
}

/* M(t) - t phi(t) exp(t^2/2) */
INLINE V tail_slope(V t, V tail) { return v_mad(t, v_set(-0.3989422804014327f), tail); }

#define ERF_FORM(BITS, EXPONENT) \
    INLINE V erf_value_##BITS(V x) { \
        V f, t = v_min(ERF_LIMIT, v_abs(x)); \
        split e = EXPONENT(t, &f); \
        return v_nfma(t, v_scaled_power_##BITS(v_tail_##BITS(t), e, f), v_max(0.0f, x)); \
    } \
    INLINE V erf_slope_##BITS(V x) { \
        V f, t = v_min(ERF_LIMIT, v_abs(x)); \
        split e = EXPONENT(t, &f); \
        V h = v_scaled_power_##BITS(tail_slope(t, v_tail_##BITS(t)), e, f); \
        return v_if_negative(x, h, 1.0f - h); \
    }

ERF_FORM(32, normal_exponent)
ERF_FORM(16, normal_exponent_16)

/* ---- the sigmoid forms -------------------------------------------------------------------------------------- */

INLINE V sigmoid_value(V x, V power) { return x / (power + 1.0f); }

INLINE V sigmoid_slope(V x, V dz, V power) {
    V s = 1.0f / (power + 1.0f);
    return v_mad(x * s, power * s * dz, s);
}

/* z clamped: left of LEFT, 2^z is inf and y is -0; left of LEFT_SLOPE 2^z s would be inf * 0; right of RIGHT, 2^z
 * vanishes beside 1. */
#define SIGMOID_FORM(NAME, BITS, EXPONENT, DZ, LEFT, LEFT_SLOPE, RIGHT) \
    INLINE V NAME##_value_##BITS(V x) { \
        V f, left = v_max(LEFT, x); \
        split e = EXPONENT(v_min(RIGHT, left), &f); \
        return sigmoid_value(left, v_power_##BITS(e, f)); \
    } \
    INLINE V NAME##_slope_##BITS(V x) { \
        V f, inner = v_min(RIGHT, v_max(LEFT_SLOPE, x)); \
        split e = EXPONENT(inner, &f); \
        return sigmoid_slope(inner, DZ, v_power_##BITS(e, f)); \
    }

/* tanh: z = x (A + B x^2), A = -2 sqrt(2/pi) log2(e), B = 0.044715 A, each the sum of two floats. A_HIGH is a multiple
 * of 2^-20, so that A_HIGH - v is exact for all v = A + B x^2 that occur. */
#define TANH_A_HIGH -2.3022079467773438f
#define TANH_A_LOW -2.513669699055754e-07f
#define TANH_B_HIGH -0.10294324159622192f
#define TANH_B_LOW 2.01619854e-09f

INLINE split tanh_exponent(V x, V *f) {
    const V a = v_set(TANH_A_HIGH), b = v_set(TANH_B_HIGH);
    V u = x * x;
    V v = v_fma(b, u, a);
    V lost = v_fma(b, u, a - v); /* the rounding error of v, then that of u, and the low parts */
    lost = lost + v_mad(b, v_fma(x, x, -u), v_mad(v_set(TANH_B_LOW), u, v_set(TANH_A_LOW)));
    split e = v_split(x, v);
    *f = v_mad(x, lost, v_fma(x, v, -e.whole));
    return e;
}

INLINE split tanh_exponent_16(V x, V *f) {
    V v = v_mad(v_set(TANH_B_HIGH), x * x, v_set(TANH_A_HIGH + TANH_A_LOW));
    split e = v_split(x, v);
    *f = v_fma(x, v, -e.whole);
    return e;
}

/* 2 sqrt(2/pi) (1 + 3 * 0.044715 x^2) */
INLINE V tanh_dz(V x) { return v_mad(v_set(0.2140644488180147f), x * x, v_set(1.5957691216057308f)); }

SIGMOID_FORM(tanh, 32, tanh_exponent, tanh_dz(inner), -10.9f, -10.05f, 8.0f)
SIGMOID_FORM(tanh, 16, tanh_exponent_16, tanh_dz(inner), -10.9f, -10.05f, 8.0f)

/* quick and silu: z = K x, K the sum of two floats; dz = -K / log2(e). */
#define LINEAR_EXPONENT(NAME, K_HIGH, K_LOW) \
    INLINE split NAME(V x, V *f) { \
        split e = v_split(x, v_set(K_HIGH)); \
        *f = v_mad(x, v_set(K_LOW), v_fma(x, v_set(K_HIGH), -e.whole)); \
        return e; \
    }

LINEAR_EXPONENT(quick_exponent, -2.4554669857025146f, 2.61094986e-08f)
LINEAR_EXPONENT(silu_exponent, -1.4426950216293335f, -1.92596303e-08f)

SIGMOID_FORM(quick, 32, quick_exponent, v_set(1.702f), -54.0f, -51.9f, 16.0f)
SIGMOID_FORM(quick, 16, quick_exponent, v_set(1.702f), -54.0f, -51.9f, 16.0f)
SIGMOID_FORM(silu, 32, silu_exponent, v_set(1.0f), -92.0f, -88.3f, 27.0f)
SIGMOID_FORM(silu, 16, silu_exponent, v_set(1.0f), -92.0f, -88.3f, 27.0f)

/* ---- relu2 -------------------------------------------------------------------------------------------------- */

INLINE V relu2_value_32(V x) {
    V y = v_max(0.0f, x);
    return y * y;
}
INLINE V relu2_slope_32(V x) { return 2.0f * v_max(0.0f, x); }
#define relu2_value_16 relu2_value_32
#define relu2_slope_16 relu2_slope_32
