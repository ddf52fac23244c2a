"""The formulas, once for all programs: values and derivatives of one block of float32 numbers.

Free of cancellation, as in ``kernels/cpu/source/formulas.h``, so the left tail keeps its digits:

    sigmoid forms  y = x / (1 + 2^z); y' = s + x s o dz with s = 1 / (1 + 2^z), o = 2^z s (never 1 - s)
    erf            y = max(x, 0) - t Q(t), t = |x|, Q(t) = Phi(-t) = 2^(C t^2) w P(w), w = 1 / (1 + p t);
                   y' = h for x < 0, else 1 - h, h = Q - t phi(t), with the same exponential

GELU: Hendrycks and Gimpel, arXiv:1606.08415, section 2. P: minimax in relative error over t in [0, 14.5].

``WIDE``: for float32 tensors; exponents carry their rounding error along, divisions are exact. ``NATIVE``: with the
processor's approximate 2^z and 1/z (an error of about two float32 ulp each), which the interpreter has not.
Clamps only stop inf * 0; a NaN passes through them.

No sum has a product for a term that is not written as ``tl.fma``: which of two products a compiler takes into a
multiply-add depends on who else needs them, and a value must have the same bits in every program (``test_bits.py``).
"""

import math

import numpy as np
import triton
import triton.language as tl

from gelu_patch.activations.gelu import CUBIC, QUICK_SCALE, SQRT_2_OVER_PI


def _high(value: float) -> tl.constexpr:
    return tl.constexpr(float(np.float32(value)))


def _low(value: float) -> tl.constexpr:
    return tl.constexpr(float(value) - float(np.float32(value)))


_NAN = tl.constexpr(tl.PropagateNan.ALL)
_LN2 = tl.constexpr(math.log(2))

# tanh: z = x (A + B x^2); A = -2 sqrt(2/pi) log2(e), B = 0.044715 A
_A = -2 * SQRT_2_OVER_PI * math.log2(math.e)
_A_HIGH, _A_LOW = _high(_A), _low(_A)
_B_HIGH, _B_LOW = _high(CUBIC * _A), _low(CUBIC * _A)
# its dz = 2 sqrt(2/pi) (1 + 3 * 0.044715 x^2)
_DZ_0, _DZ_2 = tl.constexpr(2 * SQRT_2_OVER_PI), tl.constexpr(6 * SQRT_2_OVER_PI * CUBIC)

# quick: z = K x
_K = -QUICK_SCALE * math.log2(math.e)
_K_HIGH, _K_LOW = _high(_K), _low(_K)
_QUICK = tl.constexpr(QUICK_SCALE)

# erf: 2^(C t^2) = exp(-t^2/2)
_C = -0.5 * math.log2(math.e)
_C_HIGH, _C_LOW = _high(_C), _low(_C)
_DENSITY = tl.constexpr(1 / math.sqrt(2 * math.pi))
_TAIL_END = tl.constexpr(14.5)

# Left of these, values are -0 and derivatives 0 in float32; right of them, values are x and derivatives 1.
_LEFT_TANH, _SLOPE_TANH_FROM, _RIGHT_TANH = tl.constexpr(-10.9), tl.constexpr(-9.9), tl.constexpr(30.0)
_LEFT_QUICK, _SLOPE_QUICK_FROM, _RIGHT_QUICK = tl.constexpr(-54.0), tl.constexpr(-50.0), tl.constexpr(60.0)


@triton.jit
def _power(z, NATIVE: tl.constexpr):
    """2^z."""
    if NATIVE:
        return tl.inline_asm_elementwise("ex2.approx.ftz.f32 $0, $1;", "=f,f", [z], tl.float32, is_pure=True, pack=1)
    else:
        return tl.exp2(z)


@triton.jit
def _quotient(x, z, WIDE: tl.constexpr, NATIVE: tl.constexpr):
    """x / z."""
    if NATIVE and not WIDE:
        return x * tl.inline_asm_elementwise(
            "rcp.approx.ftz.f32 $0, $1;", "=f,f", [z], tl.float32, is_pure=True, pack=1
        )
    else:
        return tl.math.div_rn(x, z)


@triton.jit
def _inverse(z, WIDE: tl.constexpr, NATIVE: tl.constexpr):
    """1 / z."""
    return _quotient(tl.full(z.shape, 1.0, tl.float32), z, WIDE, NATIVE)


@triton.jit
def _power_of_sum(high, low, WIDE: tl.constexpr, NATIVE: tl.constexpr):
    """2^(high + low), low being the rounding error of high; and 1 + that."""
    power = _power(high, NATIVE)
    if WIDE:
        factor = tl.fma(low, _LN2, 1.0)
        return power * factor, tl.fma(power, factor, 1.0)
    else:
        return power, 1.0 + power


@triton.jit
def _lost(x, FACTOR: tl.constexpr, z):
    """The rounding error of z = x * FACTOR."""
    return tl.fma(x, FACTOR, -z)


@triton.jit
def _tanh_power(x, WIDE: tl.constexpr, NATIVE: tl.constexpr):
    u = x * x
    v = tl.fma(u, _B_HIGH, _A_HIGH)
    z = x * v
    if WIDE:
        lost = tl.fma(x, x, -u)
        rest = tl.fma(u, _B_HIGH, -v + _A_HIGH) + tl.fma(lost, _B_HIGH, tl.fma(u, _B_LOW, _A_LOW))
        return _power_of_sum(z, tl.fma(x, rest, tl.fma(x, v, -z)), WIDE, NATIVE)
    else:
        return _power_of_sum(z, z, WIDE, NATIVE)


@triton.jit
def _quick_power(x, WIDE: tl.constexpr, NATIVE: tl.constexpr):
    z = x * _K_HIGH
    return _power_of_sum(z, tl.fma(x, _K_LOW, _lost(x, _K_HIGH, z)), WIDE, NATIVE)


@triton.jit
def _sigmoid_value(x, inner, power, whole, WIDE: tl.constexpr, NATIVE: tl.constexpr):
    """x / whole, whole = 1 + 2^z; for positive x in float32 x - x 2^z / whole, as the rounding of whole would show."""
    if WIDE:
        share = _quotient(inner, whole, WIDE, NATIVE)
        return tl.where(x > 0.0, tl.fma(-share, power, x), share)
    else:
        return _quotient(x, whole, WIDE, NATIVE)


@triton.jit
def _sigmoid_slope(x, dz, power, whole, WIDE: tl.constexpr, NATIVE: tl.constexpr):
    s = _inverse(whole, WIDE, NATIVE)
    return tl.fma((x * dz) * (power * s), s, s)


@triton.jit
def _tail_polynomial(t, WIDE: tl.constexpr, NATIVE: tl.constexpr):
    """Phi(-t) / exp(-t^2/2): P5 for 16-bit types (relative error 9.0e-6), P8 for float32 (4.8e-8 rounded)."""
    if WIDE:
        w = _inverse(tl.fma(t, 0.35, 1.0), WIDE, NATIVE)
        p = tl.fma(w, -0.029159829197714156, 0.144040486185132)
        p = tl.fma(p, w, -0.255859015054955)
        p = tl.fma(p, w, 0.1593428587619298)
        p = tl.fma(p, w, -0.02322852879033352)
        p = tl.fma(p, w, 0.10555945582386521)
        p = tl.fma(p, w, 0.11981949710278617)
        p = tl.fma(p, w, 0.1398637670595953)
        p = tl.fma(p, w, 0.1396212921167322)
    else:
        w = _inverse(tl.fma(t, 0.3, 1.0), WIDE, NATIVE)
        p = tl.fma(w, -0.07662356087144613, 0.2146186792120179)
        p = tl.fma(p, w, -0.015336323481671266)
        p = tl.fma(p, w, 0.14333394282190318)
        p = tl.fma(p, w, 0.11395757184869758)
        p = tl.fma(p, w, 0.12005420681306764)
    return p * w


@triton.jit
def _normal_power(t, WIDE: tl.constexpr, NATIVE: tl.constexpr):
    """exp(-t^2/2)."""
    u = t * t
    z = u * _C_HIGH
    low = _lost(u, _C_HIGH, z) + tl.fma(tl.fma(t, t, -u), _C_HIGH, u * _C_LOW)
    power, _ = _power_of_sum(z, low, WIDE, NATIVE)
    return power


@triton.jit
def value(x, FORM: tl.constexpr, WIDE: tl.constexpr, NATIVE: tl.constexpr):
    """f(x) for ``FORM`` "gelu", "gelu_tanh" or "gelu_quick"."""
    if FORM == "gelu":
        t = tl.minimum(tl.abs(x), _TAIL_END, propagate_nan=_NAN)
        q = _tail_polynomial(t, WIDE, NATIVE) * _normal_power(t, WIDE, NATIVE)
        return tl.fma(-t, q, tl.maximum(x, 0.0, propagate_nan=_NAN))
    elif FORM == "gelu_tanh":
        x = tl.maximum(x, _LEFT_TANH, propagate_nan=_NAN)
        inner = tl.minimum(x, _RIGHT_TANH, propagate_nan=_NAN) if WIDE else x
        power, whole = _tanh_power(inner, WIDE, NATIVE)
        return _sigmoid_value(x, inner, power, whole, WIDE, NATIVE)
    else:
        x = tl.maximum(x, _LEFT_QUICK, propagate_nan=_NAN)
        inner = tl.minimum(x, _RIGHT_QUICK, propagate_nan=_NAN) if WIDE else x
        power, whole = _quick_power(inner, WIDE, NATIVE)
        return _sigmoid_value(x, inner, power, whole, WIDE, NATIVE)


@triton.jit
def slope(x, FORM: tl.constexpr, WIDE: tl.constexpr, NATIVE: tl.constexpr):
    """f'(x)."""
    if FORM == "gelu":
        t = tl.minimum(tl.abs(x), _TAIL_END, propagate_nan=_NAN)
        share = tl.fma(t, -_DENSITY, _tail_polynomial(t, WIDE, NATIVE))
        power = _normal_power(t, WIDE, NATIVE)
        return tl.where(x < 0.0, share * power, tl.fma(-share, power, 1.0))
    elif FORM == "gelu_tanh":
        x = tl.maximum(x, _SLOPE_TANH_FROM, propagate_nan=_NAN)
        x = tl.minimum(x, _RIGHT_TANH, propagate_nan=_NAN)
        power, whole = _tanh_power(x, WIDE, NATIVE)
        return _sigmoid_slope(x, tl.fma(x * x, _DZ_2, _DZ_0), power, whole, WIDE, NATIVE)
    else:
        x = tl.maximum(x, _SLOPE_QUICK_FROM, propagate_nan=_NAN)
        x = tl.minimum(x, _RIGHT_QUICK, propagate_nan=_NAN)
        power, whole = _quick_power(x, WIDE, NATIVE)
        return _sigmoid_slope(x, _QUICK, power, whole, WIDE, NATIVE)
