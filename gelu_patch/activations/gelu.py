"""GELU in its exact (erf) form and the approximations that Transformers models use.

Source of all forms: Hendrycks and Gimpel, "Gaussian Error Linear Units", arXiv:1606.08415, section 2.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import erfc, expit

from gelu_patch.activations.base import Activation, Array, register_activation

SQRT_2_OVER_PI = math.sqrt(2.0 / math.pi)
CUBIC = 0.044715
QUICK_SCALE = 1.702
CLIP = 10.0


def _at_minus_infinity(x: Array, y: Array, limit: float) -> Array:
    """Put the limit where the formula is inf * 0."""
    return np.where(np.isneginf(x), limit, y)


def _erf(x: Array) -> Array:
    # erfc keeps its relative accuracy in the left tail, where 1 + erf(x) cancels.
    with np.errstate(invalid="ignore"):
        return _at_minus_infinity(x, 0.5 * x * erfc(-x / math.sqrt(2.0)), -0.0)


def _erf_derivative(x: Array) -> Array:
    with np.errstate(invalid="ignore", over="ignore"):
        density = np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)
        product = np.where(np.isinf(x), 0.0, x * density)
    return np.asarray(0.5 * erfc(-x / math.sqrt(2.0)) + product)


def _sigmoid_form(x: Array, z: Array) -> Array:
    """x * sigmoid(z): the form of both approximations, free of cancellation."""
    with np.errstate(invalid="ignore"):
        return _at_minus_infinity(x, x * expit(z), -0.0)


def _sigmoid_form_derivative(x: Array, z: Array, dz: Array) -> Array:
    share = expit(z)
    with np.errstate(invalid="ignore", over="ignore"):
        tail = np.where(np.abs(z) > 700.0, 0.0, x * dz * share * expit(-z))
    return np.asarray(share + tail)


def _tanh_argument(x: Array) -> Array:
    # 0.5 * (1 + tanh(u)) is sigmoid(2u).
    with np.errstate(over="ignore"):
        return np.asarray(2.0 * SQRT_2_OVER_PI * x * (1.0 + CUBIC * x * x))


def _tanh(x: Array) -> Array:
    return _sigmoid_form(x, _tanh_argument(x))


def _tanh_derivative(x: Array) -> Array:
    with np.errstate(over="ignore"):
        slope = 2.0 * SQRT_2_OVER_PI * (1.0 + 3.0 * CUBIC * x * x)
    return _sigmoid_form_derivative(x, _tanh_argument(x), slope)


def _quick(x: Array) -> Array:
    return _sigmoid_form(x, QUICK_SCALE * x)


def _quick_derivative(x: Array) -> Array:
    return _sigmoid_form_derivative(x, QUICK_SCALE * x, np.full_like(x, QUICK_SCALE))


def _clipped(x: Array) -> Array:
    return np.asarray(np.minimum(_erf(x), CLIP))  # no value comes near the lower end, -CLIP


def _clipped_derivative(x: Array) -> Array:
    return np.where(_erf(x) > CLIP, 0.0, _erf_derivative(x))


GELU = register_activation(
    Activation(
        name="gelu",
        formula=_erf,
        derivative=_erf_derivative,
        summary="exact GELU, x * Phi(x) with Phi the normal distribution function (erf)",
        source="arXiv:1606.08415, section 2",
        use="checkpoints trained with it: BERT, RoBERTa, ViT, Whisper",
        family="gelu",
    ),
    aliases=("gelu_erf", "gelu_python"),
)

register_activation(
    Activation(
        name="gelu_tanh",
        formula=_tanh,
        derivative=_tanh_derivative,
        summary="0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))",
        source="arXiv:1606.08415, section 2",
        use="checkpoints trained with it: GPT-2, T5 v1.1, Gemma; elsewhere it is another function, though a near one",
        family="gelu",
    ),
    # The first one is written into configs: of these classes it is the one that runs PyTorch's own op.
    aliases=("gelu_pytorch_tanh", "gelu_new", "gelu_fast", "gelu_python_tanh", "gelu_accurate"),
)

register_activation(
    Activation(
        name="gelu_quick",
        formula=_quick,
        derivative=_quick_derivative,
        summary="x * sigmoid(1.702 x)",
        source="arXiv:1606.08415, section 2",
        use="checkpoints trained with it: CLIP; a cheap form for training from scratch",
        family="gelu",
    ),
    aliases=("quick_gelu",),
)

register_activation(
    Activation(
        name="gelu_10",
        formula=_clipped,
        derivative=_clipped_derivative,
        summary="exact GELU with the output clipped to [-10, 10]",
        source="Wu et al., arXiv:2004.09602 (GELU10 of their BERT experiments)",
        use="checkpoints that were made for 8-bit quantisation with it",
        family="gelu",
        kinks=(CLIP,),  # GELU(10) is 10 - 1e-22
    ),
)
