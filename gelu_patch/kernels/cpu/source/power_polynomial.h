/* Exponentials by one polynomial, where a look-up in a register is not at hand. */
typedef struct {
    V whole;
} split;

INLINE split v_split(V a, V b) { return (split){v_rint(a * b)}; }

/* 2^f - 1 for |f| <= 1/2, minimax in the relative error of 2^f: 2.6e-9, ... */
INLINE V v_power_minus_1(V f) {
    V p = v_mad(v_set(0.0001534580745962741f), f, v_set(0.0013399931184988445f));
    p = v_mad(p, f, v_set(0.009618488973966685f));
    p = v_mad(p, f, v_set(0.0555032877707276f));
    p = v_mad(p, f, v_set(0.24022646890478916f));
    return f * v_mad(p, f, v_set(0.6931472057372007f));
}
INLINE V v_power_32(split e, V f) { return v_scale(v_power_minus_1(f) + 1.0f, e.whole); }
INLINE V v_scaled_power_32(V m, split e, V f) { return v_scale(v_mad(m, v_power_minus_1(f), m), e.whole); }

/* ... or 2^f with 1.8e-7. */
INLINE V v_power_16(split e, V f) {
    V p = v_mad(v_set(0.001327646679212023f), f, v_set(0.009675541292961021f));
    p = v_mad(p, f, v_set(0.055507132895849305f));
    p = v_mad(p, f, v_set(0.24022119724872815f));
    p = v_mad(p, f, v_set(0.693146967054911f));
    return v_scale(v_mad(p, f, v_set(1.0f)), e.whole);
}
INLINE V v_scaled_power_16(V m, split e, V f) { return m * v_power_16(e, f); }
