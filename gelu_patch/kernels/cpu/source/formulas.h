/* The formulas, once for all levels, in the vocabulary of vector_portable.h.
 *
 * The GELUs and SiLU are x * sigmoid-like, written with an exponential whose argument is never rounded as a whole:
 * z = n + f with n a multiple of 1/16 or of 1 and a small f, which is summed with its rounding errors. A relative error
 * of z would be multiplied by z in the left tail, which is where the usual formulas lose all digits.
 *
 *   erf     y = max(x, 0) - t Q(t), t = |x|, Q(t) = Phi(-t) = 2^(C t^2) M(t); derivative h(t) for x < 0, else 1 - h(t),
 *           h = Q - t phi(t)
 *   sigmoid y = x / (1 + 2^z); derivative s + x s o dz with s = 1 / (1 + 2^z), o = 2^z s (never 1 - s)
 *
 * GELU: Hendrycks and Gimpel, arXiv:1606.08415, section 2. The constants are base-2 forms of theirs. Error terms by
 * fused multiply-add: Dekker, Numer. Math. 18 (1971).
 * Clamps only stop inf * 0; a NaN passes through them. */

/* ---- erf ---------------------------------------------------------------------------------------------------- */

/* C = -log2(e) / 2 as the sum of two floats. */
#define ERF_C_HIGH -0.7213475108146667f
#define ERF_C_LOW -9.62981517e-09f
/* Here t Phi(-t) and its derivative are below half of the smallest float. */
#define ERF_LIMIT 14.7f

/* exp(-t^2/2) = 2^(e.whole + f) */
INLINE split normal_exponent(V t, V *f) {
    const V high = v_set(ERF_C_HIGH);
    V u = t * t;
    split e = v_split(u, high, 0.0f);
    V low = v_fma(high, v_fma(t, t, -u), u * ERF_C_LOW);
    *f = v_fma(u, high, -e.whole) + low;
    return e;
}

INLINE split normal_exponent_16(V t, V *f) {
    const V high = v_set(ERF_C_HIGH);
    V u = t * t;
    split e = v_split(u, high, 0.0f);
    *f = v_fma(u, high, -e.whole);
    return e;
}

/* M(t) - t phi(t) exp(t^2/2) */
INLINE V tail_slope(V t, V tail) { return v_mad(t, v_set(-0.3989422804014327f), tail); }

#define ERF_FORM(BITS, EXPONENT) \
    INLINE V erf_value_##BITS(V x) { \
        V f, t = v_min(ERF_LIMIT, v_abs(x)); \
        split e = EXPONENT(t, &f); \
        return v_minus_tail_power_##BITS(t, e, f, v_max(0.0f, x)); \
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

/* y = x / (1 + 2^z). 2^z outgrows a float before y becomes subnormal, so the divisor is 2^DOWN times smaller. And so is
 * x, which costs the last bits of tiny x where DOWN > 2, ... */
INLINE V sigmoid_value(V x, V power_plus, float scale) { return (x * scale) / power_plus; }
/* ... or the quotient after it, which overflows to inf for huge x, where y is x. */
INLINE V sigmoid_value_exact(V x, V power_plus, float scale) { return v_nearer_0(x, (x / power_plus) * scale); }

#define SLOPE_DOWN 40

/* power = 2^(z - 40), which stays finite until the derivative is 0. Where s is subnormal (2^z > 2^126), the derivative,
 * some hundred times larger, has as few digits. */
INLINE V sigmoid_slope(V x, V dz, V power) {
    V s = 0x1p-40f / (power + 0x1p-40f);
    return v_mad(x * (dz * 0x1p40f) * (power * s), s, s);
}

/* Left of LEFT, 2^(z - DOWN) is inf and y is -0; right of RIGHT, 2^z vanishes beside 1. Left of LIMIT the derivative
 * is 0. */
#define SIGMOID_FORM(NAME, BITS, VALUE, EXPONENT, DZ, DOWN, LEFT, RIGHT, LIMIT) \
    INLINE V NAME##_value_##BITS(V x) { \
        V f, left = v_max(LEFT, x); \
        split e = EXPONENT(v_min(RIGHT, left), &f, DOWN); \
        return VALUE(left, v_power_plus_##BITS(e, f, 1.0f / (1 << DOWN)), 1.0f / (1 << DOWN)); \
    } \
    INLINE V NAME##_slope_##BITS(V x) { \
        V f, inner = v_min(RIGHT, v_max(LIMIT, x)); \
        split e = EXPONENT(inner, &f, SLOPE_DOWN); \
        return sigmoid_slope(inner, DZ, v_power_##BITS(e, f)); \
    }

/* tanh: z = x (A + B x^2), A = -2 sqrt(2/pi) log2(e), B = 0.044715 A. x^2 = u + lost with u a multiple of 2^-5, and
 * A = A_HIGH + A_LOW, B = B_HIGH + B_LOW with so few bits in B_HIGH (2^-15) and A_HIGH (2^-20) that
 * v = A_HIGH + B_HIGH u is exact for all |x| < 11. */
#define TANH_A_HIGH -2.3022079467773438f
#define TANH_A_LOW -2.513669811391339e-07f
#define TANH_B -0.10294323958002349f
#define TANH_B_HIGH (-3373.0f / 32768)
#define TANH_B_LOW -7.4485643984874174e-06f

INLINE split tanh_exponent(V x, V *f, float down) {
    const V magic = v_set(393216.0f); /* 1.5 * 2^18 */
    V u = v_fma(x, x, magic) - magic;
    V v = v_mad(v_set(TANH_B_HIGH), u, v_set(TANH_A_HIGH));
    V rest = v_mad(v_set(TANH_B_LOW), u, v_set(TANH_A_LOW));
    rest = v_mad(v_set(TANH_B), v_fma(x, x, -u), rest);
    split e = v_split(x, v, down); /* x * rest, up to 0.024, is left to f */
    *f = v_mad(x, rest, v_fma(x, v, -e.whole));
    return e;
}

INLINE split tanh_exponent_16(V x, V *f, float down) {
    V v = v_mad(v_set(TANH_B), x * x, v_set(TANH_A_HIGH + TANH_A_LOW));
    split e = v_split(x, v, down);
    *f = v_fma(x, v, -e.whole);
    return e;
}

/* 2 sqrt(2/pi) (1 + 3 * 0.044715 x^2) */
INLINE V tanh_dz(V x) { return v_mad(v_set(0.2140644488180147f), x * x, v_set(1.5957691216057308f)); }

SIGMOID_FORM(tanh, 32, sigmoid_value, tanh_exponent, tanh_dz(inner), 2, -10.1291f, 8.0f, -10.99f)
SIGMOID_FORM(tanh, 16, sigmoid_value, tanh_exponent_16, tanh_dz(inner), 8, -10.3028f, 8.0f, -10.99f)

/* quick and silu: z = K x, K the sum of two floats; dz = -K / log2(e). */
#define LINEAR_EXPONENT(NAME, K_HIGH, K_LOW) \
    INLINE split NAME(V x, V *f, float down) { \
        split e = v_split(x, v_set(K_HIGH), down); \
        *f = v_mad(x, v_set(K_LOW), v_fma(x, v_set(K_HIGH), -e.whole)); \
        return e; \
    }

LINEAR_EXPONENT(quick_exponent, -2.4554669857025146f, 2.61094986e-08f)
LINEAR_EXPONENT(silu_exponent, -1.4426950216293335f, -1.92596303e-08f)

SIGMOID_FORM(quick, 32, sigmoid_value_exact, quick_exponent, v_set(1.702f), 8, -55.5088f, 16.0f, -65.9f)
SIGMOID_FORM(quick, 16, sigmoid_value, quick_exponent, v_set(1.702f), 8, -55.5088f, 16.0f, -65.9f)
SIGMOID_FORM(silu, 32, sigmoid_value_exact, silu_exponent, v_set(1.0f), 8, -94.476f, 27.0f, -112.0f)
SIGMOID_FORM(silu, 16, sigmoid_value, silu_exponent, v_set(1.0f), 8, -94.476f, 27.0f, -112.0f)

/* ---- relu2 -------------------------------------------------------------------------------------------------- */

INLINE V relu2_value_32(V x) {
    V y = v_max(0.0f, x);
    return y * y;
}
INLINE V relu2_slope_32(V x) { return 2.0f * v_max(0.0f, x); }
#define relu2_value_16 relu2_value_32
#define relu2_slope_16 relu2_slope_32
