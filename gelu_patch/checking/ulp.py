"""Errors in units of the last place: the one way in which this package counts them."""

from __future__ import annotations

import numpy as np
import torch

from gelu_patch.activations.base import Array

_EXPONENT = np.int64(0x7FF0_0000_0000_0000)


def unit(truth: Array, dtype: torch.dtype) -> Array:
    """Return one ulp at ``truth``: the spacing of the numbers of ``dtype`` in its binade, or of the subnormal ones.

    A result that is at most half of it away from the truth is correctly rounded.
    """
    limits = torch.finfo(dtype)
    binade = (np.ascontiguousarray(truth, dtype=np.float64).view(np.int64) & _EXPONENT).view(np.float64)
    return np.asarray(np.maximum(binade, limits.tiny) * limits.eps)
