/* The scaled tail M(t) = exp(t^2/2) Phi(-t) as w P(w) with w = 1 / (1 + p t), the form of Abramowitz and Stegun,
 * 7.1.26, with more terms. P is a minimax fit of the relative error on 0 <= t <= 14.5. */

/* p = 0.35, largest relative error 3.2e-8. */
INLINE V v_tail_32(V t) {
    V w = 1.0f / v_mad(v_set(0.35f), t, v_set(1.0f));
    V p = v_mad(v_set(-0.029159829197714156f), w, v_set(0.144040486185132f));
    p = v_mad(p, w, v_set(-0.255859015054955f));
    p = v_mad(p, w, v_set(0.1593428587619298f));
    p = v_mad(p, w, v_set(-0.02322852879033352f));
    p = v_mad(p, w, v_set(0.10555945582386521f));
    p = v_mad(p, w, v_set(0.11981949710278617f));
    p = v_mad(p, w, v_set(0.1398637670595953f));
    return w * v_mad(p, w, v_set(0.1396212921167322f));
}

INLINE V v_tail_16(V t) { return v_tail_32(t); }
INLINE V v_minus_tail_power_32(V t, split e, V f, V c) {
    V m = v_tail_32(t);
    return v_nfma(v_scale(t, e.whole), v_mad(m, v_power_minus_1(f), m), c);
}
INLINE V v_minus_tail_power_16(V t, split e, V f, V c) {
    return v_nfma(v_scale(t, e.whole), v_tail_16(t) * fraction_power_16(f), c);
}
