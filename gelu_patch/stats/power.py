"""How many examples a non-inferiority claim needs."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import binom, norm

from gelu_patch.stats.paired import Z_95, minimum_n, tango_score

# Beyond this many expected flips the closed form is within a few per cent of the enumeration, and much faster.
_ENUMERABLE_FLIPS = 4000


def power(n: int, flip_rate: float, margin: float, *, z: float = Z_95) -> float:
    """Return the probability of "non-inferior" when the arms are truly equal, by enumeration of (b, c).

    ``flip_rate`` is the share of examples on which exactly one arm is right, ``margin`` a fraction.
    """
    flips = _likely(n, flip_rate)
    total = 0.0
    for count, weight in zip(flips, binom.pmf(flips, n, flip_rate), strict=True):
        b = _likely(int(count), 0.5)
        passes = tango_score(b.astype(float), (count - b).astype(float), n, -margin) > z
        total += float(weight * binom.pmf(b, count, 0.5) @ passes)
    return total


def _likely(n: int, p: float) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the outcomes of a binomial, without tails of probability below 1e-7."""
    return np.arange(int(binom.ppf(1e-7, n, p)), int(binom.isf(1e-7, n, p)) + 1).clip(0)


def needed_n(flip_rate: float, margin: float, *, target: float = 0.8, z: float = Z_95) -> int:
    """Return about how many examples reach the ``target`` power when the arms are truly equal.

    The closed form (z + z_target)² · flip_rate / margin² promises too much when flips are few (47 % instead of
    80 % at 0.5 % flips and 1 pp), so the exact power is bisected. Exact power saw-tooths with n; the answer is
    one of its crossings, within a few per cent of every other.
    """
    fewest = minimum_n(margin, z=z)
    closed_form = math.ceil((z + float(norm.ppf(target))) ** 2 * flip_rate / margin**2)
    if closed_form * flip_rate > _ENUMERABLE_FLIPS:
        return max(fewest, closed_form)
    low, high = fewest, max(fewest, closed_form)
    while power(high, flip_rate, margin, z=z) < target:
        low, high = high, math.ceil(high * 1.3)
    while high - low > max(1, high // 200):
        middle = (low + high) // 2
        if power(middle, flip_rate, margin, z=z) < target:
            low = middle
        else:
            high = middle
    return high
