"""Latency of several arms, measured interleaved.

Sequential timing on a busy machine called two runs of the same model different in 44 % of the cases; in random
order inside each round the ratio of the same model to itself stayed within noise. So every round runs every
arm once, in an order drawn anew, and the baseline runs twice: its ratio to itself (A/A) is the noise floor.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch

from gelu_patch.reporting.schema import AAControl, Latency
from gelu_patch.stats.timing import paired_ratio, quantiles
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
    seed: int = 0,
    on_round: OnRound | None = None,
) -> dict[str, Latency]:
    """Time every run ``n_pairs`` times, interleaved; the first is the baseline. Return one entry for each.

    Times are wall-clock seconds. ``on_round`` is called with (rounds done, rounds in all).
    """
    baseline = next(iter(runs))
    slots: dict[object, Run] = {_CONTROL: runs[baseline]}
    slots.update(runs)
    order = list(slots)
    shuffle = random.Random(seed).shuffle
    times: dict[object, list[float]] = {slot: [] for slot in slots}
    with _without_garbage_collection():
        warmups = sum(_warm_up(run) for run in runs.values())
        for done in range(1, n_pairs + 1):
            shuffle(order)
            for slot in order:
                times[slot].append(_timed(slots[slot]))
            if on_round is not None:
                on_round(done, n_pairs)
    control = paired_ratio([times[baseline]], [times[_CONTROL]], seed=seed)
    low, high = control.interval
    valid = low <= 1.0 <= high and (high - low) / 2 <= VALID_HALF_WIDTH
    entries = {}
    for name in runs:
        ratio = None if name == baseline else paired_ratio([times[baseline]], [times[name]], seed=seed)
        spread = quantiles(times[name])
        entries[name] = Latency(
            shape=shape,
            phase=phase,
            n_pairs=n_pairs,
            n_processes=1,
            warmup=warmups,
            p50=spread.p50,
            p90=spread.p90,
            p99=spread.p99,
            ratio=ratio.ratio if ratio else None,
            ratio_ci=ratio.interval if ratio else None,
            values=[round(seconds, 7) for seconds in times[name]],
            aa_control=AAControl(ratio=control.ratio, ci=control.interval),
            valid=valid,
        )
    return entries


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
def _without_garbage_collection() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
