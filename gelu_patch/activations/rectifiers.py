"""Activations that are no GELU, as targets of a swap: relu, relu2, silu."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from gelu_patch.activations.base import Activation, Array, register_activation


def _relu(x: Array) -> Array:
    return np.maximum(x, 0.0)


def _relu_derivative(x: Array) -> Array:
    return np.where(np.isnan(x), x, (x > 0.0).astype(np.float64))


def _relu2(x: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.square(_relu(x))


def _relu2_derivative(x: Array) -> Array:
    return 2.0 * _relu(x)


def _silu(x: Array) -> Array:
    with np.errstate(invalid="ignore"):
        return np.where(np.isneginf(x), -0.0, x * expit(x))


def _silu_derivative(x: Array) -> Array:
    share = expit(x)
    with np.errstate(invalid="ignore"):
        tail = np.where(np.isinf(x), 0.0, x * share * expit(-x))
    return np.asarray(share + tail)


register_activation(
    Activation(
        name="relu",
        formula=_relu,
        derivative=_relu_derivative,
        summary="max(x, 0); the derivative at 0 is 0, as in PyTorch",
        source="Nair and Hinton, ICML 2010, section 2",
        use="after fine-tuning only; its zeros can be skipped (Mirzadeh et al., arXiv:2310.04564)",
        kinks=(0.0,),
    ),
)

register_activation(
    Activation(
        name="relu2",
        formula=_relu2,
        derivative=_relu2_derivative,
        summary="max(x, 0)^2",
        source="So et al., Primer, arXiv:2109.08668, section 3",
        use="training from scratch, or long fine-tuning",
    ),
)

register_activation(
    Activation(
        name="silu",
        formula=_silu,
        derivative=_silu_derivative,
        summary="x * sigmoid(x), also called swish",
        source="Elfwing et al., arXiv:1702.03118, section 2",
        use="fine-tuning towards kernels that exist for gated SiLU",
    ),
    aliases=("swish",),
)
