"""The regions of x by which errors are told apart, because a maximum over everything hides the tail."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import inf

import numpy as np
from scipy.optimize import brentq

from gelu_patch.activations.base import Activation

BORDERS = (-9.0, -5.0, -3.0, -1.0, -0.5, -0.01, 0.0, 0.01, 1.0, 5.0)

# On both sides of a zero of the derivative, where an error in ulp of a difference of two large numbers says nothing.
CROSSING = 0.125


@dataclass(frozen=True)
class Region:
    """The numbers ``low <= x < high``; ``crossing`` where the derivative passes through 0."""

    low: float
    high: float
    crossing: bool = False

    @property
    def label(self) -> str:
        """The interval, as in a table."""
        return f"[{self.low:.4g}, {self.high:.4g})" if self.low > -inf else f"below {self.high:.4g}"


def regions(activation: Activation, direction: str) -> tuple[Region, ...]:
    """Return the regions in ascending order: they cover every number, without overlap."""
    zones = [(zero - CROSSING, zero + CROSSING) for zero in _zeros(activation)] if direction == "backward" else []
    inner = {border for border in BORDERS if not any(low < border < high for low, high in zones)}
    ends = sorted({-inf, *inner, *(end for zone in zones for end in zone), inf})
    return tuple(Region(low, high, crossing=(low, high) in zones) for low, high in pairwise(ends))


@cache
def _zeros(activation: Activation) -> tuple[float, ...]:
    """Where the derivative changes its sign, for |x| < 8 (further out lie the signs of underflow).

    A step function jumps over 0; nothing cancels there.
    """
    if activation.approximates:
        return ()

    def slope(x: float) -> float:
        return float(activation.derivative(np.array([x]))[0])

    x = np.linspace(-8.0, 8.0, 1601) + 1e-3  # not through 0, where formulas with a kink are 0
    y = activation.derivative(x)
    return tuple(brentq(slope, x[i], x[i + 1]) for i in np.flatnonzero(y[:-1] * y[1:] < 0.0))
