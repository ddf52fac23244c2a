"""Ratios of two arms' times, measured in interleaved pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gelu_patch.stats.paired import Interval

FloatArray = npt.NDArray[np.float64]

BLOCK = 10  # neighbouring pairs share the machine's mood, so they are resampled together
# With 100 pairs in 10 blocks the 95 % interval missed the truth in 10 % of 400 simulations, in 20 blocks in 7 %.
_FEWEST_BLOCKS = 20


@dataclass(frozen=True)
class Ratio:
    """Candidate time over baseline time: the median of the paired ratios and its interval (no unit)."""

    ratio: float
    interval: Interval


@dataclass(frozen=True)
class Quantiles:
    """Quantiles of one arm's times, in the unit of the times."""

    p50: float
    p90: float
    p99: float


def quantiles(times: npt.ArrayLike) -> Quantiles:
    """Return the 50th, 90th and 99th percentile. Raises ValueError on an empty array."""
    values = np.asarray(times, dtype=np.float64).ravel()
    if not len(values):
        raise ValueError("no times were given")
    p50, p90, p99 = (float(q) for q in np.quantile(values, [0.5, 0.9, 0.99]))
    return Quantiles(p50, p90, p99)


def paired_ratio(
    baseline: Sequence[npt.ArrayLike],
    candidate: Sequence[npt.ArrayLike],
    *,
    seed: int = 0,
    level: float = 0.95,
    resamples: int = 2_000,
    block: int = BLOCK,
) -> Ratio:
    """Return the median of paired ratios candidate / baseline with its bootstrap interval.

    ``baseline[k][i]`` and ``candidate[k][i]`` are the two times of pair ``i`` in process ``k``, in the same unit;
    one process is a list with one array. Processes are resampled first, then moving blocks of ``block`` pairs
    inside each (smaller ones when a process has less than 20 blocks). Raises ValueError when pairs do not match or a
    time is not positive.
    """
    logs = [_log_ratios(b, c) for b, c in zip(baseline, candidate, strict=True)]
    if not logs:
        raise ValueError("no process was given")
    generator = np.random.default_rng(seed)
    medians = [np.median(_resample(logs, block, generator)) for _ in range(resamples)]
    low, high = np.quantile(medians, [(1 - level) / 2, (1 + level) / 2])
    return Ratio(float(np.exp(np.median(np.concatenate(logs)))), (float(np.exp(low)), float(np.exp(high))))


def _log_ratios(baseline: npt.ArrayLike, candidate: npt.ArrayLike) -> FloatArray:
    base, cand = np.asarray(baseline, dtype=np.float64), np.asarray(candidate, dtype=np.float64)
    if base.ndim != 1 or base.shape != cand.shape or not len(base):
        raise ValueError(f"need two equal rows of times per process, got shapes {base.shape} and {cand.shape}")
    if not (np.isfinite(base).all() and np.isfinite(cand).all() and (base > 0).all() and (cand > 0).all()):
        raise ValueError("every time must be positive and finite")
    return np.asarray(np.log(cand) - np.log(base))


def _resample(logs: list[FloatArray], block: int, generator: np.random.Generator) -> FloatArray:
    """Return the log ratios of one resample: processes with replacement, then blocks with replacement."""
    parts = []
    for process in generator.integers(0, len(logs), size=len(logs)):
        values = logs[process]
        size = min(block, max(1, len(values) // _FEWEST_BLOCKS))
        starts = generator.integers(0, len(values) - size + 1, size=-(-len(values) // size))
        parts.append(values[(starts[:, None] + np.arange(size)).ravel()[: len(values)]])
    return np.concatenate(parts)
