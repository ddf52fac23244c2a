/* Exponentials by one polynomial, where a look-up in a register is not at hand. The last bits of `raw`, a number with a
 * magic constant added, are the integral part, which becomes the exponent by a shift. */
typedef struct {
    V raw, whole;
} split;

INLINE split v_split(V a, V b, float down) {
    const V magic = v_set(12582912.0f - down); /* 1.5 * 2^23: the sum has no bits left for a fraction */
    V raw = v_mad(a, b, magic);
    return (split){raw, raw - magic};
}

/* 2^f - 1 for |f| <= 1/2, minimax in the relative error of 2^f: 2.6e-9, ... */
INLINE V v_power_minus_1(V f) {
    V p = v_mad(v_set(0.0001534580745962741f), f, v_set(0.0013399931184988445f));
    p = v_mad(p, f, v_set(0.009618488973966685f));
    p = v_mad(p, f, v_set(0.0555032877707276f));
    p = v_mad(p, f, v_set(0.24022646890478916f));
    return f * v_mad(p, f, v_set(0.6931472057372007f));
}
/* ... or 2^f with 1.8e-7. */
INLINE V fraction_power_16(V f) {
    V p = v_mad(v_set(0.001327646679212023f), f, v_set(0.009675541292961021f));
    p = v_mad(p, f, v_set(0.055507132895849305f));
    p = v_mad(p, f, v_set(0.24022119724872815f));
    p = v_mad(p, f, v_set(0.693146967054911f));
    return v_mad(p, f, v_set(1.0f));
}
INLINE V v_power_32(split e, V f) { return (v_power_minus_1(f) + 1.0f) * v_exponent(e.raw); }
INLINE V v_power_16(split e, V f) { return fraction_power_16(f) * v_exponent(e.raw); }
INLINE V v_power_plus_32(split e, V f, float c) {
    return v_mad(v_power_minus_1(f) + 1.0f, v_exponent(e.raw), v_set(c));
}
INLINE V v_power_plus_16(split e, V f, float c) { return v_mad(fraction_power_16(f), v_exponent(e.raw), v_set(c)); }
INLINE V v_scaled_power_32(V m, split e, V f) { return v_scale(v_mad(m, v_power_minus_1(f), m), e.whole); }
INLINE V v_scaled_power_16(V m, split e, V f) { return v_scale(m * fraction_power_16(f), e.whole); }
