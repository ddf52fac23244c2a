"""Trained models: the seed is the unit. Examples inside a seed do not add seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import fisher_exact, t, ttest_1samp

from gelu_patch.stats.paired import Interval

MINIMUM_SEEDS = 5
_MOST_SEEDS = 1_000


@dataclass(frozen=True)
class SeedDifference:
    """The mean of paired differences between seeds, its t-interval (None below two seeds) and their spread."""

    mean: float
    interval: Interval | None
    standard_deviation: float | None
    seeds: int
    p_value: float | None


def seed_paired_t(baseline: npt.ArrayLike, candidate: npt.ArrayLike, *, level: float = 0.95) -> SeedDifference:
    """Return candidate - baseline over paired seeds with Student's interval.

    ``baseline[i]`` and ``candidate[i]`` are one metric of both arms trained with seed ``i``. Raises ValueError on empty
    or unequal rows and on numbers that are not finite: a diverged run must be shown, not averaged.
    """
    before, after = np.asarray(baseline, np.float64), np.asarray(candidate, np.float64)
    if before.ndim != 1 or before.shape != after.shape or not len(before):
        raise ValueError(f"need two equal rows of values per seed, got shapes {before.shape} and {after.shape}")
    d = after - before
    if not np.isfinite(d).all():
        raise ValueError("every seed must have a finite value")
    mean, n = float(d.mean()), len(d)
    if n < 2:
        return SeedDifference(mean, None, None, n, None)
    spread = float(d.std(ddof=1))
    half = float(t.isf((1 - level) / 2, n - 1)) * spread / math.sqrt(n)
    p = 1.0 if not d.any() else 0.0 if spread == 0 else float(ttest_1samp(d, 0).pvalue)
    return SeedDifference(mean, (mean - half, mean + half), spread, n, p)


def diverged_p(baseline: int, of_baseline: int, candidate: int, of_candidate: int) -> float:
    """Return Fisher's exact two-sided p-value of "one arm diverges more often"."""
    table = [[baseline, of_baseline - baseline], [candidate, of_candidate - candidate]]
    return float(fisher_exact(table).pvalue)


def needed_seeds(
    standard_deviation: float, margin: float, *, correlation: float = 0.0, target: float = 0.8, alpha: float = 0.025
) -> int:
    """Return about how many paired seeds show "not worse than ``margin``" with the ``target`` power, when truly equal.

    ``standard_deviation`` is that of one arm between seeds, in the unit of ``margin``; paired arms of the given
    ``correlation`` have differences of variance σ² = 2(1 - correlation)·SD². The first n with
    n >= (t(1 - alpha) + t(target))²·σ²/margin², both quantiles with n - 1 degrees of freedom. Raises ValueError when
    more than 1,000 seeds would be needed.
    """
    ratio = 2 * (1 - correlation) * (standard_deviation / margin) ** 2
    for n in range(2, _MOST_SEEDS + 1):
        if n >= (float(t.isf(alpha, n - 1)) + float(t.ppf(target, n - 1))) ** 2 * ratio:
            return n
    raise ValueError(f"more than {_MOST_SEEDS} seeds are needed: SD {standard_deviation}, margin {margin}")
