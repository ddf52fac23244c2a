"""The interleaved protocol, inside of one process.

Sequential timing on a busy machine called two runs of the same model different in 44 % of the cases; in random
order inside each round the ratio of the same model to itself stayed within noise. So every round runs every arm once,
in an order drawn anew, and one of the arms is the baseline again: its ratio to the baseline (A/A) is the noise floor.
"""

from __future__ import annotations

import gc
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from gelu_patch.stats.timing import paired_ratio

Run = Callable[[], None]
Clock = Callable[[], float]
# Called with the seconds of the pairs since the last call, by arm, and the number of pairs so far.
OnPairs = Callable[[Mapping[str, list[float]], int], None]

WARMUP_WINDOW = 5
WARMUP_LIMIT = 30
WARMUP_TOLERANCE = 0.02

CHUNK = 10  # pairs between two looks at the clock: one block of the bootstrap
_CONTROL_RESAMPLES = 400  # to decide about more pairs; the result is computed from more


@dataclass(frozen=True)
class Effort:
    """How long to go on: at least ``n_pairs``, and more while the A/A control's interval is wider than
    ``2 * half_width``, up to ``max_pairs``; never longer than ``max_seconds``, but at least one chunk of pairs."""

    n_pairs: int
    max_pairs: int
    max_seconds: float = math.inf
    half_width: float = 0.01


@dataclass
class Measured:
    """Seconds by arm, entry i of each from pair i, and how often each arm ran before."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    warmup: int = 0


def measure_interleaved(
    runs: Mapping[str, Run],
    *,
    baseline: str,
    control: str,
    effort: Effort,
    seed: int = 0,
    clock: Clock = time.perf_counter,
    synchronize: Run = lambda: None,
    on_pairs: OnPairs | None = None,
) -> Measured:
    """Warm up, then time every arm of ``runs`` in rounds of random order; ``control`` is the baseline a second time.

    Wall-clock seconds, by ``clock``, of a run and the ``synchronize`` after it. Garbage is not collected meanwhile.
    Only the control decides about more pairs, so looking again cannot favour an arm.
    """

    def timed(run: Run) -> float:
        started = clock()
        run()
        synchronize()
        return clock() - started

    found = Measured({arm: [] for arm in runs})
    rounds = _rounds(list(runs), random.Random(seed))
    with without_garbage_collection():
        found.warmup = max(_warm_up(partial(timed, run)) for run in runs.values())
        started, done, next_look = clock(), 0, effort.n_pairs
        while done < effort.max_pairs and (done == 0 or clock() - started <= effort.max_seconds):
            chunk: dict[str, list[float]] = {arm: [] for arm in runs}
            for _ in range(min(CHUNK, effort.max_pairs - done)):
                for arm in next(rounds):
                    chunk[arm].append(timed(runs[arm]))
                done += 1
            for arm, seconds in chunk.items():
                found.seconds[arm] += seconds
            if on_pairs is not None:
                on_pairs(chunk, done)
            if done >= next_look:
                if _width(found.seconds, baseline, control, seed) <= 2 * effort.half_width:
                    break
                next_look += effort.n_pairs
    return found


def _rounds(order: list[str], generator: random.Random) -> Iterator[list[str]]:
    """The arms in a new random order, without end."""
    while True:
        generator.shuffle(order)
        yield order


def _width(seconds: Mapping[str, list[float]], baseline: str, control: str, seed: int) -> float:
    found = paired_ratio([seconds[baseline]], [seconds[control]], seed=seed, resamples=_CONTROL_RESAMPLES)
    return found.interval[1] - found.interval[0]


def _warm_up(timed: Clock) -> int:
    """Run until the medians of two successive windows agree within 2 %, or 30 times; return how often."""
    previous = math.inf
    for done in range(WARMUP_WINDOW, WARMUP_LIMIT + 1, WARMUP_WINDOW):
        window = sorted(timed() for _ in range(WARMUP_WINDOW))[WARMUP_WINDOW // 2]
        if done > WARMUP_WINDOW and abs(window - previous) <= WARMUP_TOLERANCE * previous:
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
