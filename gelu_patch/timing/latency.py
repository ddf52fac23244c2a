"""Latency of several arms, measured interleaved.

Sequential timing on a busy machine called two runs of the same model different in 44 % of the cases; in random
order inside each round the ratio of the same model to itself stayed within noise. So every round runs every
arm once, in an order drawn anew, and the baseline runs twice: its ratio to itself (A/A) is the noise floor.
"""

from __future__ import annotations

import gc
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from gelu_patch.reporting.schema import AAControl, Latency
from gelu_patch.stats.timing import Ratio, paired_ratio, quantiles
from gelu_patch.timing.workloads import Phase, Shape

Run = Callable[[], None]
OnRound = Callable[[int, int], None]

WARMUP_WINDOW = 5
WARMUP_LIMIT = 30
WARMUP_TOLERANCE = 0.02

# Sized after the smallest change that a verdict should notice; an A/A interval wider than it is no measurement.
VALID_HALF_WIDTH = 0.02

_CONTROL = object()  # the baseline's second run of each round


def measure_latency(
    runs: Mapping[str, Run],
    *,
    shape: Shape,
    phase: Phase,
    n_pairs: int,
    max_pairs: int | None = None,
    max_seconds: float = math.inf,
    seed: int = 0,
    on_round: OnRound | None = None,
) -> dict[str, Latency]:
    """Time every run ``n_pairs`` times, interleaved; the first is the baseline. Return one entry for each.

    While the A/A control does not hold (it misses 1, or is too wide to mean anything), another ``n_pairs`` are
    measured, up to ``max_pairs`` and while ``max_seconds`` are not over: the control alone decides that, so
    looking again cannot favour an arm.
    Times are wall-clock seconds. ``on_round`` is called with (rounds done, rounds planned so far).
    """
    baseline = next(iter(runs))
    slots: dict[object, Run] = {_CONTROL: runs[baseline]}
    slots.update(runs)
    times: dict[object, list[float]] = {slot: [] for slot in slots}
    rounds = _rounds(list(slots), random.Random(seed))
    started = time.perf_counter()
    with without_garbage_collection():
        warmup = sum(_warm_up(run) for run in runs.values())
        planned = 0
        while True:
            planned += n_pairs
            for done in range(planned - n_pairs + 1, planned + 1):
                for slot in next(rounds):
                    times[slot].append(_timed(slots[slot]))
                if on_round is not None:
                    on_round(done, planned)
            control = paired_ratio([times[baseline]], [times[_CONTROL]], seed=seed)
            late = time.perf_counter() - started > max_seconds
            if _holds(control) or late or planned + n_pairs > (max_pairs or n_pairs):
                break
    shared = {
        "shape": shape,
        "phase": phase,
        "n_pairs": planned,
        "n_processes": 1,
        "warmup": warmup,
        "aa_control": AAControl(ratio=control.ratio, ci=control.interval),
        "valid": _holds(control),
    }
    return {name: _entry(times, baseline, name, seed, shared) for name in runs}


def _rounds(order: list[object], generator: random.Random) -> Iterator[list[object]]:
    """The arms in a new random order, without end."""
    while True:
        generator.shuffle(order)
        yield order


def _holds(control: Ratio) -> bool:
    low, high = control.interval
    return low <= 1.0 <= high and (high - low) / 2 <= VALID_HALF_WIDTH


def _entry(
    times: Mapping[object, list[float]], baseline: str, name: str, seed: int, shared: Mapping[str, Any]
) -> Latency:
    spread = quantiles(times[name])
    ratio = None if name == baseline else paired_ratio([times[baseline]], [times[name]], seed=seed)
    return Latency(
        p50=spread.p50,
        p90=spread.p90,
        p99=spread.p99,
        ratio=ratio.ratio if ratio else None,
        ratio_ci=ratio.interval if ratio else None,
        values=[round(seconds, 7) for seconds in times[name]],
        **shared,
    )


def _timed(run: Run) -> float:
    started = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def _warm_up(run: Run) -> int:
    """Run until two successive windows agree within 2 %, or 30 times; return how often."""
    previous = float("inf")
    for done in range(WARMUP_WINDOW, WARMUP_LIMIT + 1, WARMUP_WINDOW):
        window = sorted(_timed(run) for _ in range(WARMUP_WINDOW))[WARMUP_WINDOW // 2]
        if abs(window - previous) <= WARMUP_TOLERANCE * previous:
            return done
        previous = window
    return WARMUP_LIMIT


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Collect garbage now, and not during the block."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
