"""Sampling: every arm once in every round, in an order drawn anew, so that a slow moment of the machine meets all.

With one thread torch, oneDNN, MKL, Inductor and onnxruntime compute in the calling thread (autograd too, on a
CPU), so that thread's CPU time is what the arm costs, whoever else uses the machine. ``check_clock`` holds that to be
true for each arm. With more threads only the wall clock sees the whole, and everybody else's work with it.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Mapping

from gelu_patch.timing.latency import without_garbage_collection

Run = Callable[[], object]
Samples = dict[str, list[float]]

SEEN = 0.95  # the least share of an arm's CPU time that the clock of one thread must see


class Skip(Exception):
    """An arm cannot be measured here; the message says why, and is kept with the result."""


def clock_of(threads: int) -> Callable[[], float]:
    """Return the clock, in seconds: CPU time of the thread for one thread, the wall clock for more."""
    return time.thread_time if threads == 1 else time.perf_counter


def clock_name(threads: int) -> str:
    return "thread CPU time" if threads == 1 else "wall clock"


def check_clock(run: Run, threads: int) -> None:
    """Raise Skip when one thread is to be timed and other threads of the process do part of the work."""
    if threads > 1:
        return
    for _ in range(3):  # the pool of an arm with more threads may still spin for a moment
        process, thread = time.process_time(), time.thread_time()
        run()
        process, thread = time.process_time() - process, time.thread_time() - thread
        if thread >= SEEN * process:
            return
    raise Skip(f"{1 - thread / process:.0%} of its CPU time is spent outside of the thread that is timed")


def sample(
    arms: Mapping[str, Run], rounds: int, threads: int, *, calls: Mapping[str, int] | None = None, seed: int = 0
) -> Samples:
    """Run every arm in each of ``rounds`` rounds; return seconds a call, in the order of the rounds.

    ``calls`` is how often an arm runs for one sample (default: once). Garbage is collected only between rounds.
    """
    clock, shuffle = clock_of(threads), random.Random(seed).shuffle
    samples: Samples = {name: [] for name in arms}
    order = list(arms)
    with without_garbage_collection():
        for _ in range(rounds):
            gc.collect()
            shuffle(order)
            for name in order:
                run, times = arms[name], calls[name] if calls else 1
                started = clock()
                for _ in range(times):
                    run()
                samples[name].append(round((clock() - started) / times, 10))
    return samples
