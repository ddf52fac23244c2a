"""Intervals of one arm's value alone."""

from __future__ import annotations

import math

from gelu_patch.stats.paired import Z_95, Interval


def wilson_interval(successes: int, n: int, *, z: float = Z_95) -> Interval:
    """Return the Wilson score interval of a proportion (a fraction), two-sided 95 % by default.

    Raises ValueError on impossible counts. Formula: E. B. Wilson, JASA 22 (1927) 209-212.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"need 0 <= successes <= n and n >= 1, got {successes} of {n}")
    share = successes / n
    scale = 1 + z**2 / n
    centre = (share + z**2 / (2 * n)) / scale
    half = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / scale
    # At 0 and n successes the limit is exact; rounding must not push it past the edge.
    return (0.0 if successes == 0 else centre - half), (1.0 if successes == n else centre + half)
