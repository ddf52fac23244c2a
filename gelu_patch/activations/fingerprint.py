"""Recognising an unknown callable by what it computes.

The callable is run once on a fixed float64 grid and compared with the formula of every registered activation.
The nearest two registered GELUs differ by 4.7e-4, so a tolerance of 1e-5 cannot confuse them, and it leaves
room for models that round their constants (Bloom) or compute in float32 inside.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch

from gelu_patch.activations.base import Array, activations

TOLERANCE = 1e-5


@cache
def _grid() -> Array:
    """Dense where activations differ, and far points that reveal clipping. Not symmetric, so order shows."""
    far = [15.0, 30.0, 50.0, 100.0]
    return np.concatenate([np.linspace(-12.0, 12.0, 401), np.negative(far), far, [0.3, 1.7]])


def _evaluate(function: Callable[[Any], Any], x: torch.Tensor) -> torch.Tensor:
    # Forking the generator keeps a random function from moving the caller's random numbers.
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        y = function(x.clone())
    if not isinstance(y, torch.Tensor):
        raise TypeError(f"it returns {type(y).__name__}, not a tensor")
    if y.shape != x.shape:
        raise TypeError(f"it maps shape {tuple(x.shape)} to {tuple(y.shape)}: not elementwise")
    return y.to(torch.float64)


def fingerprint(function: Callable[[Any], Any]) -> tuple[str | None, str]:
    """Return (activation name, how it was found) or (None, why it is no registered activation).

    ``function`` is called on CPU float64 tensors, without gradients.
    """
    with torch.device("cpu"):
        x = torch.from_numpy(_grid())
    try:
        y = _evaluate(function, x)
        reordered = _evaluate(function, x.flip(0)).flip(0)
    except Exception as error:  # whatever a stranger's code raises is a reason, not a failure of ours
        return None, f"running it on a test tensor failed: {type(error).__name__}: {error}"
    if not torch.allclose(y, reordered, rtol=0.0, atol=TOLERANCE, equal_nan=True):
        return None, "its result is random or depends on the order of the elements"
    found = y.numpy()
    for activation in activations:
        difference = np.abs(found - activation.formula(_grid())) / np.maximum(1.0, np.abs(_grid()))
        if float(difference.max()) < TOLERANCE:
            return activation.name, f"numeric fingerprint, largest difference {float(difference.max()):.1e}"
    return None, "its values are those of no registered activation"
