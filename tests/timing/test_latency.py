"""The interleaved protocol, on a clock that the test owns: what is found does not depend on this machine."""

import gc
import random

import pytest

from gelu_patch.timing import latency
from gelu_patch.timing.latency import measure_latency


class Clock:
    """A clock that only the timed runs move."""

    def __init__(self, noise: float, drift: float = 0.0) -> None:
        self.now = 0.0
        self.speed = 1.0
        self.noise, self.drift = noise, drift
        self.random = random.Random(1)
        self.log = []

    def __call__(self) -> float:
        return self.now

    def run(self, name: str, seconds: float):
        def body():
            self.speed *= 1 + self.drift  # a machine that becomes slower hits whatever runs later
            self.now += seconds * self.speed * self.random.lognormvariate(0, self.noise)
            self.log.append(name)

        return body


@pytest.fixture
def measure(monkeypatch):
    def run(clock, seconds, **options):
        monkeypatch.setattr(latency.time, "perf_counter", clock)
        runs = {name: clock.run(name, value) for name, value in seconds.items()}
        options = {"shape": (1, 8), "phase": "forward", "n_pairs": 100, **options}
        return measure_latency(runs, **options)

    return run


def test_a_planted_delay_is_found(measure):
    found = measure(Clock(noise=0.05), {"stock": 0.010, "slow": 0.0105})["slow"]
    assert found.ratio == pytest.approx(1.05, abs=0.02)
    assert found.ratio_ci[0] > 1.0
    assert found.valid


def test_a_drifting_machine_does_not_make_equal_arms_differ(measure):
    """Of 20 sessions with equal arms at most 2 may say "different": the bar for an A/A test."""
    misses = 0
    for seed in range(20):
        clock = Clock(noise=0.02, drift=0.0005)
        clock.random.seed(1_000 + seed)  # not the seed of the order: one stream must not decide both
        low, high = measure(clock, {"stock": 0.010, "same": 0.010}, seed=seed)["same"].ratio_ci
        misses += not low <= 1.0 <= high
    assert misses <= 2


def test_every_round_runs_every_arm_and_the_baseline_twice_in_random_order(measure):
    clock = Clock(noise=0.0)
    measure(clock, {"stock": 0.01, "other": 0.02}, n_pairs=50)
    rounds = [clock.log[-3 * (i + 1) : len(clock.log) - 3 * i] for i in range(50)]
    assert all(sorted(order) == ["other", "stock", "stock"] for order in rounds)
    assert len({tuple(order) for order in rounds}) == 3


def test_raw_times_are_kept_and_the_baseline_has_no_ratio(measure):
    found = measure(Clock(noise=0.1), {"stock": 0.01, "other": 0.01}, n_pairs=20)
    assert len(found["stock"].values) == found["stock"].n_pairs == 20
    assert found["stock"].ratio is None
    assert found["stock"].p50 <= found["stock"].p90 <= found["stock"].p99


def test_a_noisy_control_is_measured_longer_and_then_said_to_be_invalid(measure):
    noisy = measure(Clock(noise=0.8), {"stock": 0.01, "other": 0.01}, n_pairs=20, max_pairs=60)["other"]
    assert noisy.n_pairs == 60
    assert noisy.valid is False
    quiet = measure(Clock(noise=0.0), {"stock": 0.01, "other": 0.01}, n_pairs=20, max_pairs=60)["other"]
    assert quiet.n_pairs == 20
    assert quiet.valid is True


def test_garbage_collection_is_off_while_timing_and_on_again_after_an_error(measure):
    seen = []

    def broken():
        seen.append(gc.isenabled())
        raise RuntimeError("broken")

    assert gc.isenabled()
    with pytest.raises(RuntimeError, match="broken"):
        measure_latency({"stock": broken}, shape=(1, 1), phase="forward", n_pairs=2)
    assert seen == [False]
    assert gc.isenabled()
