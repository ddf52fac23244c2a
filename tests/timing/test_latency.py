"""The interleaved protocol of one process, on a clock that the test owns."""

from __future__ import annotations

import gc

import pytest

from gelu_patch.reporting.storage.timings import CONTROL, LIMIT, STOCK
from gelu_patch.stats.timing import paired_ratio
from gelu_patch.timing.latency import WARMUP_LIMIT, Effort, measure_interleaved
from tests.timing.virtual import Machine

ENOUGH = Effort(n_pairs=50, max_pairs=50)


def measure(machine: Machine, effort: Effort = ENOUGH, **options: object):
    return measure_interleaved(
        machine.arms(), baseline=STOCK, control=CONTROL, effort=effort, clock=machine.clock, **options
    )


def test_every_round_runs_every_arm_once_in_random_order() -> None:
    machine = Machine({STOCK: 0.01, "other": 0.02}, noise=0.0)
    measure(machine)
    arms = {STOCK, "other", CONTROL, LIMIT}
    rounds = [tuple(machine.log[-4 * (i + 1) : len(machine.log) - 4 * i]) for i in range(50)]
    assert all(set(order) == arms for order in rounds)
    assert len(set(rounds)) > 10, "of 24 orders"


def test_a_machine_that_becomes_slower_hits_all_arms_alike() -> None:
    found = measure(Machine({STOCK: 0.01, "other": 0.01}, wear=0.001, noise=0.01), Effort(100, 100)).seconds
    low, high = paired_ratio([found[STOCK]], [found["other"]]).interval
    assert low <= 1 <= high


def test_raw_times_are_kept_in_pairs() -> None:
    sent = []
    machine = Machine({STOCK: 0.01, "other": 0.01})
    found = measure(machine, on_pairs=lambda seconds, done: sent.append((seconds, done)))
    assert {len(seconds) for seconds in found.seconds.values()} == {50}
    assert [done for _, done in sent] == [10, 20, 30, 40, 50]
    assert [value for seconds, _ in sent for value in seconds["other"]] == found.seconds["other"]


def test_a_slow_beginning_is_not_measured() -> None:
    """Caches fill, memory is mapped, libraries choose: the first calls of an arm say nothing about it."""
    calls = dict.fromkeys((STOCK, CONTROL), 0)
    clock = Machine({STOCK: 0.01})

    def run(arm: str) -> None:
        calls[arm] += 1
        clock.now += 0.01 * (1 + 5 * 0.8 ** calls[arm])

    runs = {arm: lambda arm=arm: run(arm) for arm in calls}
    found = measure_interleaved(runs, baseline=STOCK, control=CONTROL, effort=ENOUGH, clock=clock.clock)
    assert max(found.seconds[STOCK]) < 0.0102
    assert 10 <= found.warmup <= WARMUP_LIMIT


def test_warming_up_ends_though_the_machine_never_settles() -> None:
    assert measure(Machine({STOCK: 0.01}, noise=1.5)).warmup == WARMUP_LIMIT


def test_garbage_collection_is_off_while_timing_and_on_again_after_an_error() -> None:
    seen = []

    def broken() -> None:
        seen.append(gc.isenabled())
        raise RuntimeError("broken")

    assert gc.isenabled()
    with pytest.raises(RuntimeError, match="broken"):
        measure_interleaved({STOCK: broken, CONTROL: broken}, baseline=STOCK, control=CONTROL, effort=ENOUGH)
    assert seen == [False]
    assert gc.isenabled()


def test_the_device_is_waited_for_inside_of_the_time() -> None:
    machine = Machine({STOCK: 0.01}, noise=0.0, mood=0.0, spikes=0.0, layout=0.0)

    def synchronize() -> None:
        machine.now += 0.005

    found = measure(machine, synchronize=synchronize)
    assert found.seconds[STOCK] == pytest.approx([0.015] * 50)


@pytest.mark.parametrize(("noise", "pairs"), [(0.001, 20), (0.8, 100)])
def test_more_pairs_while_the_control_is_too_wide(noise: float, pairs: int) -> None:
    machine = Machine({STOCK: 0.01, "other": 0.01}, noise=noise, spikes=0.0)
    found = measure(machine, Effort(n_pairs=20, max_pairs=100, half_width=0.01))
    assert len(found.seconds["other"]) == pairs


def test_at_least_one_block_of_pairs_when_time_is_short() -> None:
    found = measure(Machine({STOCK: 1.0}), Effort(n_pairs=50, max_pairs=100, max_seconds=0.001))
    assert len(found.seconds[STOCK]) == 10
