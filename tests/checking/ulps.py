"""Errors in units of the last place, for tests."""

import numpy as np

from gelu_patch.checking.ulp import unit


def in_ulp(found, truth):
    """How far the tensor ``found`` lies from ``truth`` (float64, same shape), in units of its own dtype."""
    return np.abs(found.double().numpy() - truth) / unit(truth, found.dtype)
