"""Bootstrap of numbers of any size, of too few carriers, and of constants."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from gelu_patch.stats.bootstrap import percentile_mean, studentised_mean

SAMPLE = np.random.default_rng(7).normal(0.1, 1.0, 200)


def interval_of(values: np.ndarray) -> np.ndarray:
    interval = studentised_mean(values).interval
    assert interval is not None
    return np.array(interval)


def test_normal_differences_give_students_interval() -> None:
    student = ttest_1samp(SAMPLE, 0).confidence_interval(0.95)
    assert interval_of(SAMPLE) == pytest.approx((student.low, student.high), abs=0.015)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e-8, 3.0, 1e8, 1e160, 1e305])
def test_the_interval_follows_the_scale(scale: float) -> None:
    plain, scaled = studentised_mean(SAMPLE), studentised_mean(SAMPLE * scale)
    assert interval_of(SAMPLE * scale) / scale == pytest.approx(interval_of(SAMPLE), rel=1e-9)
    assert scaled.mean / scale == pytest.approx(plain.mean, rel=1e-12)
    assert scaled.effective_count == pytest.approx(plain.effective_count, rel=1e-9)


@pytest.mark.parametrize("shift", [-5.0, 1e-3, 1e6])
def test_the_interval_follows_a_shift(shift: float) -> None:
    assert interval_of(SAMPLE + shift) - shift == pytest.approx(interval_of(SAMPLE), abs=1e-8)


def test_mirrored_differences_mirror_the_interval() -> None:
    assert -interval_of(-SAMPLE)[::-1] == pytest.approx(interval_of(SAMPLE), abs=1e-3)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [0.0, 0.1, -3.5, 1e-310, 1e308])
def test_constant_differences_are_their_own_interval(value: float) -> None:
    found = studentised_mean(np.full(50, value))
    assert (found.mean, found.interval) == (value, (value, value))
    assert found.effective_count == pytest.approx(50 if value else 0)


def test_one_difference_is_never_reliable() -> None:
    found = studentised_mean([0.25])
    assert (found.mean, found.interval, found.effective_count) == (0.25, (0.25, 0.25), 1.0)
    assert not found.reliable


@pytest.mark.parametrize(("carriers", "reliable"), [(9, False), (10, True), (40, True)])
def test_ten_examples_must_carry_the_difference(carriers: int, reliable: bool) -> None:
    d = np.zeros(500)
    d[:carriers] = -0.3
    assert studentised_mean(d).reliable is reliable


def test_a_resample_that_misses_every_difference_does_not_spoil_the_interval() -> None:
    # Ten balanced differences: one resample in 22,000 holds none of them, and its t is 0/0.
    d = np.zeros(2_000)
    d[:5], d[5:10] = 1.0, -1.0
    found = studentised_mean(d, resamples=40_000)
    assert found.reliable
    assert found.interval == pytest.approx((-0.0035, 0.0035), abs=0.001)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_too_few_carriers_give_no_finite_limit(sign: float) -> None:
    d = np.zeros(300)
    d[:2] = sign  # every seventh resample holds none of them
    found = studentised_mean(d)
    assert found.interval is None
    assert not found.reliable


@pytest.mark.parametrize("draw", ["normal", "exponential"])
def test_the_interval_covers_the_mean_as_often_as_promised(draw: str) -> None:
    generator, truth = np.random.default_rng(11), {"normal": 0.0, "exponential": 1.0}[draw]
    missed, runs = np.zeros(2), 600
    for run in range(runs):
        d = getattr(generator, draw)(size=20)
        limits = (interval(d, seed=run, resamples=999) for interval in (studentised_limits, percentile_mean))
        missed += [low > truth or high < truth for low, high in limits]
    studentised, percentile = missed / runs
    assert 0.023 <= studentised <= 0.077  # promised 5 %; 600 draws have a standard error of 0.9 points
    assert percentile > studentised  # the plain interval is too short: this simulation can tell


def studentised_limits(d: np.ndarray, *, seed: int, resamples: int) -> tuple[float, float]:
    interval = studentised_mean(d, seed=seed, resamples=resamples).interval
    assert interval is not None
    return interval


def test_a_hundred_thousand_differences_are_read_in_chunks() -> None:
    d = np.random.default_rng(0).normal(0.01, 1.0, 100_000)
    low, high = interval_of(d)
    assert low < d.mean() < high
    assert high - low == pytest.approx(2 * 1.96 / np.sqrt(100_000), rel=0.1)
