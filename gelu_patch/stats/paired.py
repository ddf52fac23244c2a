"""Right-or-wrong outcomes of two arms on the same examples.

``b`` counts examples that only the baseline gets right, ``c`` those that only the candidate gets right, ``n`` all
examples. The difference is δ = (c - b)/n, a fraction: worse is negative. Wald and percentile bootstrap intervals
call a harmful swap "non-inferior" in up to half of all cases when flips are few; the score interval does not.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest, norm

Interval = tuple[float, float]
Counts = npt.NDArray[np.float64] | float

Z_95 = 1.959963984540054  # standard normal quantile at 0.975: a two-sided 95 % interval
_HALVINGS = 55  # of an interval of length 2: what is left is below the rounding of a double


def z_of(alpha: float) -> float:
    """Return the standard normal quantile at 1 - alpha; ``alpha`` is one-sided. 0.025 gives ``Z_95``."""
    return Z_95 if alpha == 0.025 else float(norm.isf(alpha))


def tango_score(b: Counts, c: Counts, n: float, difference: float | npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the score statistic of the hypothesis that the true difference is ``difference``.

    It is standard normal under the hypothesis, and positive when the data lie above it. ``b`` and ``c`` may be
    arrays. Formula: T. Tango, Statistics in Medicine 17 (1998) 891-908, with the probability of ``b`` at its
    maximum likelihood under the hypothesis.
    """
    b, c = np.asarray(b, float), np.asarray(c, float)
    linear = -(b + c) + (2 * n - c + b) * difference
    constant = -b * difference * (1 - difference)
    q = (np.sqrt(np.maximum(linear**2 - 8 * n * constant, 0)) - linear) / (4 * n)
    variance = n * (2 * np.maximum(q, 0) + difference * (1 - difference))
    distance = c - b - n * difference
    with np.errstate(divide="ignore", invalid="ignore"):
        score = distance / np.sqrt(np.maximum(variance, 0))
    return np.where(distance == 0, 0.0, score)


def tango_interval(b: float, c: float, n: float, *, z: float = Z_95) -> Interval:
    """Return the score interval of δ, a fraction in [-1, 1]. Raises ValueError on impossible counts.

    Counts may be fractions: that is how a design effect shrinks them (``stats.groups``).
    """
    if min(b, c) < 0 or n <= 0 or b + c > n:
        raise ValueError(f"need b, c >= 0, n > 0 and b + c <= n, got b={b}, c={c}, n={n}")
    return float(tango_lower(b, c, n, z=z)), -float(tango_lower(c, b, n, z=z))


def tango_lower(b: Counts, c: Counts, n: float, *, z: float = Z_95) -> npt.NDArray[np.float64]:
    """Return the lower limit of δ for one pair of counts or for arrays of them, by bisection of the score.

    The score falls from infinity at -1 to 0 at the estimate. Upper limit = minus the lower one with the arms swapped.
    """
    b, c = np.broadcast_arrays(np.asarray(b, float), np.asarray(c, float))
    low, high = np.full(b.shape, -1.0), (c - b) / n
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = tango_score(b, c, n, middle) > z
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.asarray((low + high) / 2)


def mcnemar_p(b: int, c: int) -> float:
    """Return the exact two-sided p-value of "the arms differ". It is shown, and never passes anything."""
    return float(binomtest(min(b, c), b + c).pvalue) if b + c else 1.0


def minimum_n(margin: float, *, z: float = Z_95) -> int:
    """Return the smallest n that can be called non-inferior at ``margin`` (a fraction), with no flip at all.

    Without flips the lower limit is -z²/(n + z²), so n must be at least z²(1 - margin)/margin.
    """
    return math.ceil(z**2 * (1 - margin) / margin)
