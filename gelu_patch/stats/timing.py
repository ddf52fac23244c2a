"""Ratios of two arms' times, measured in interleaved pairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import norm
from scipy.stats import t as student_t

from gelu_patch.stats.paired import Interval

FloatArray = npt.NDArray[np.float64]

BLOCK = 10  # neighbouring pairs share the machine's mood, so they are resampled together
# With 100 pairs in 10 blocks the 95 % interval missed the truth in 10 % of 400 simulations, in 20 blocks in 7 %.
_FEWEST_BLOCKS = 20
_NOISE_RESAMPLES = 200


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
    one process is a list with one array. Where the baseline ran several times in each pair, ``baseline[k]`` has a row
    for each, ``(times, pairs)``, and the ratio is the geometric mean of the medians against each row. (Against the mean
    of the rows it would be biased: a stall hits the mean of two more often than the candidate, and medians feel that.)

    Processes are resampled first, then moving blocks of ``block`` pairs inside each (smaller ones when a process has
    less than 20 blocks). As a bootstrap of three to nine processes is too narrow, by how much they differ is first made
    larger (``_spread_out``). Raises ValueError when pairs do not match or a time is not positive.
    """
    logs = [_log_ratios(b, c) for b, c in zip(baseline, candidate, strict=True)]
    if not logs:
        raise ValueError("no process was given")
    generator = np.random.default_rng(seed)
    spread = _spread_out(logs, block, level, generator)
    found = _resampled(spread, block, resamples, generator)
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return Ratio(float(np.exp(_centre(np.concatenate(logs)))), (float(np.exp(low)), float(np.exp(high))))


def _log_ratios(baseline: npt.ArrayLike, candidate: npt.ArrayLike) -> FloatArray:
    """Return ``(pairs, times of the baseline)``."""
    base, cand = np.atleast_2d(np.asarray(baseline, np.float64)), np.asarray(candidate, np.float64)
    if cand.ndim != 1 or base.ndim != 2 or base.shape[1:] != cand.shape or not cand.size:
        raise ValueError(f"need equal rows of times per process, got shapes {base.shape} and {cand.shape}")
    if not (np.isfinite(base).all() and np.isfinite(cand).all() and (base > 0).all() and (cand > 0).all()):
        raise ValueError("every time must be positive and finite")
    return np.asarray((np.log(cand) - np.log(base)).T)


def _centre(logs: FloatArray) -> Any:
    """Return the median over the pairs, averaged over the times of the baseline; ``(..., pairs, times)``."""
    return np.median(logs, axis=-2).mean(axis=-1)


def _spread_out(logs: list[FloatArray], block: int, level: float, generator: np.random.Generator) -> list[FloatArray]:
    """Move the processes apart, so that resampling K of them has the width of a t interval over K processes.

    Resampling K means gives sqrt((K - 1) / K) of their spread and normal quantiles in the place of Student's: where
    processes really differ, a 95 % interval of three missed the truth in 25 % of 1,500 simulations, this one in 7 %.
    Only the part of the spread that noise inside of the processes does not explain (Cochran's moment estimate) is
    enlarged: where they do not differ, 2 % missed in both.
    """
    count = len(logs)
    if count == 1:
        return logs
    centres = np.array([_centre(values) for values in logs])
    noise = [np.var(_resampled([values], block, _NOISE_RESAMPLES, generator)) for values in logs]
    explained = float(np.mean(noise)) / max(float(np.var(centres, ddof=1)), np.finfo(np.float64).tiny)
    tail = (1 + level) / 2
    widest = float(student_t.ppf(tail, count - 1) / norm.ppf(tail)) * (count / (count - 1)) ** 0.5
    stretch = max(0.0, 1 - explained) * (widest - 1)
    return [values + stretch * (centre - centres.mean()) for values, centre in zip(logs, centres, strict=True)]


def _resampled(logs: list[FloatArray], block: int, resamples: int, generator: np.random.Generator) -> FloatArray:
    """Return the centre of each resample: processes with replacement, then blocks with replacement inside of each."""
    chosen = np.sort(generator.integers(0, len(logs), size=(resamples, len(logs))), axis=1)
    centres = np.empty(resamples)
    # Resamples of the same processes are equally long, and so are done at once.
    for processes, rows in _groups(chosen):
        parts = [logs[k][_blocks(len(logs[k]), block, len(rows), generator)] for k in processes]
        centres[rows] = _centre(np.concatenate(parts, axis=1))
    return centres


def _groups(chosen: npt.NDArray[np.int64]) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Yield each different row of ``chosen`` with the numbers of the rows that are like it."""
    kinds, kind_of = np.unique(chosen, axis=0, return_inverse=True)
    for kind, processes in enumerate(kinds):
        yield processes, np.flatnonzero(kind_of.ravel() == kind)


def _blocks(length: int, block: int, count: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return the places, ``(count, length)``, of moving blocks drawn with replacement from a row of ``length``."""
    size = min(block, max(1, length // _FEWEST_BLOCKS))
    starts = generator.integers(0, length - size + 1, size=(count, -(-length // size)))
    return np.asarray((starts[:, :, None] + np.arange(size)).reshape(count, -1)[:, :length])
