"""Bootstrap intervals of a mean, deterministic for a given seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gelu_patch.stats.paired import Interval

FloatArray = npt.NDArray[np.float64]

MINIMUM_EFFECTIVE_COUNT = 10.0

_RESAMPLES = (1_000, 10_000)
_DRAWS = 100_000_000  # bounds the time: 100,000 examples get 1,000 resamples
_CHUNK = 200_000  # numbers held at once, so few that they stay in the cache


@dataclass(frozen=True)
class MeanDifference:
    """A mean difference with its interval and the evidence behind it.

    ``effective_count`` is (Σ|d|)²/Σd²: how many units carry the difference. Below 10, simulated intervals miss a
    harmful difference far too often, so nothing may be concluded. ``interval`` is None when even the bootstrap found
    no finite limit. ``p_value`` is two-sided, of "the mean is not 0": it is shown, and passes nothing.
    """

    mean: float
    interval: Interval | None
    effective_count: float
    p_value: float = 1.0

    @property
    def reliable(self) -> bool:
        """Whether enough units carry the difference for the interval to be believed."""
        return self.interval is not None and self.effective_count >= MINIMUM_EFFECTIVE_COUNT


def effective_count(differences: FloatArray) -> float:
    """Return (Σ|d|)²/Σd², the number of equally large differences that would carry as much; 0 if all are 0."""
    largest = float(np.abs(differences).max(initial=0.0))
    if largest == 0:
        return 0.0
    scaled = np.abs(differences) / largest  # squares of tiny differences must not underflow
    return float(scaled.sum() ** 2 / (scaled**2).sum())


def carriers(differences: FloatArray, share: float = 0.9) -> float:
    """Return the share of units whose absolute differences, largest first, make up ``share`` of the whole change."""
    ordered = np.sort(np.abs(differences))[::-1]
    if not len(ordered) or ordered[0] == 0:
        return 0.0
    running = np.cumsum(ordered / ordered[0])
    return float(np.searchsorted(running, share * running[-1] * (1 - 1e-12)) + 1) / len(ordered)


def studentised_mean(
    differences: npt.ArrayLike, *, seed: int = 0, level: float = 0.95, resamples: int | None = None
) -> MeanDifference:
    """Return the mean of paired ``differences`` with its studentised bootstrap interval.

    t* = (mean* - mean)/(s*/√n) over resamples; a limit is mean - quantile(t*)·s/√n (Efron and Tibshirani, An
    Introduction to the Bootstrap, 12.5). Resamples without spread count as infinite: on the side of their mean, and
    towards "worse" when that is the mean of the sample. If every difference is equal (0 when two arms agree
    exactly), the interval is that value. Raises ValueError on an empty array.
    """
    d = _checked(differences)
    if d.min() == d.max():
        value = float(d[0])
        return MeanDifference(value, (value, value), effective_count(d))
    # A power of two divides exactly, and keeps squares of tiny or huge differences from vanishing or overflowing.
    exponent = int(np.frexp(np.abs(d).max())[1])
    unit = np.ldexp(d, -exponent)
    mean, spread = float(unit.mean()), float(unit.std(ddof=1))
    # Working on standardised values keeps sums of squares accurate for differences of 1e-8 around a large mean.
    standard = (unit - mean) / spread
    samples = _samples(standard, seed, resamples)
    moments = ((sample.mean(axis=1), np.einsum("ij,ij->i", sample, sample) / len(d)) for sample in samples)
    t = np.concatenate([t_statistics(centre, square, len(d)) for centre, square in moments])
    low, high = t_quantiles(t, level)
    error = spread / np.sqrt(len(d))
    middle, lower, upper = (float(np.ldexp(x, exponent)) for x in (mean, mean - high * error, mean - low * error))
    interval = (lower, upper) if np.isfinite([lower, upper]).all() else None
    return MeanDifference(middle, interval, effective_count(d), _p_value(t, mean / error))


def t_statistics(centre: FloatArray, square: FloatArray, n: int) -> FloatArray:
    """Return t* of resamples of ``n`` standardised values, from their means and mean squares (any equal shapes)."""
    variance = np.maximum(square - centre**2, 0) * n / (n - 1)
    spreadless = variance < 1e-12
    t = np.sqrt(n) * centre / np.sqrt(np.where(spreadless, 1, variance))
    return np.where(spreadless, np.where(centre < 0, -np.inf, np.inf), t)


def t_quantiles(t: FloatArray, level: float) -> FloatArray:
    """Return the two quantiles of t* along the last axis, shape ``(2, ...)``."""
    tail = round((1 - level) / 2, 12)  # 0.025, not 0.025000000000000022, which is the next observed value
    # "inverted_cdf" picks an observed value: interpolating next to an infinite one gives NaN.
    return np.asarray(np.quantile(t, [tail, 1 - tail], axis=-1, method="inverted_cdf"))


def _p_value(t: FloatArray, observed: float) -> float:
    """Return how rare ``observed`` is among t*, two-sided: the level at which the interval would just reach 0."""
    above, below = int((t >= observed).sum()), int((t <= observed).sum())
    return min(1.0, 2 * (1 + min(above, below)) / (1 + len(t)))


def percentile_mean(
    values: npt.ArrayLike, *, seed: int = 0, level: float = 0.95, resamples: int | None = None
) -> Interval:
    """Return the percentile bootstrap interval of one arm's mean, in the unit of ``values``.

    For describing one arm only: for differences use ``studentised_mean``. Raises ValueError on an empty array.
    """
    x = _checked(values)
    means = np.concatenate([sample.mean(axis=1) for sample in _samples(x, seed, resamples)])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _checked(values: npt.ArrayLike) -> FloatArray:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or len(x) == 0 or not np.isfinite(x).all():
        raise ValueError(f"need one row of finite numbers, got shape {x.shape}")
    return x


def _samples(x: FloatArray, seed: int, resamples: int | None) -> Iterator[FloatArray]:
    """Yield resamples of ``x`` in chunks of shape ``(some, len(x))``."""
    fewest, most = _RESAMPLES
    left = resamples or int(np.clip(_DRAWS // len(x), fewest, most))
    generator = np.random.default_rng(seed)
    while left > 0:
        some = min(left, max(1, _CHUNK // len(x)))
        yield x[generator.integers(0, len(x), size=(some, len(x)), dtype=np.int32)]
        left -= some
