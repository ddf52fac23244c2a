"""The bootstrap of a mean: a slow oracle, its promise under skewed harm, and its refusals."""

from __future__ import annotations

import numpy as np
import pytest

from gelu_patch.stats.bootstrap import effective_count, percentile_mean, studentised_mean


def test_agrees_with_the_definition_written_out() -> None:
    d = np.random.default_rng(1).exponential(size=60)
    indices = np.random.default_rng(7).integers(0, 60, size=(10_000, 60), dtype=np.int32)
    t = [np.sqrt(60) * (d[row].mean() - d.mean()) / d[row].std(ddof=1) for row in indices]
    low, high = np.quantile(t, [0.025, 0.975], method="inverted_cdf")
    error = d.std(ddof=1) / np.sqrt(60)
    found = studentised_mean(d, seed=7)
    assert found.interval == pytest.approx((d.mean() - high * error, d.mean() - low * error), rel=1e-9)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    d = np.random.default_rng(0).normal(size=200)
    assert studentised_mean(d, seed=3) == studentised_mean(d, seed=3)
    assert studentised_mean(d, seed=3) != studentised_mean(d, seed=4)


def test_a_skewed_harm_at_the_margin_is_rarely_called_non_inferior() -> None:
    """Promised 2.5 %: harm of exponential size in 5 % of 872 examples, where the paired t interval reaches 6.7 %."""
    generator, n, draws, margin = np.random.default_rng(5), 872, 300, 0.005
    studentised = normal = 0
    for draw in range(draws):
        d = np.where(generator.random(n) < 0.05, -generator.exponential(margin / 0.05, n), 0.0)
        found = studentised_mean(d, seed=draw, resamples=1_000)
        assert found.interval is not None
        studentised += found.reliable and found.interval[0] > -margin
        normal += d.mean() - 1.96 * d.std(ddof=1) / np.sqrt(n) > -margin
    assert studentised / draws <= 0.035 + 0.018  # two standard errors of 300 draws
    assert normal > studentised


def test_effective_count_says_how_many_examples_carry_the_difference() -> None:
    assert effective_count(np.array([0.0, 0.0, 3.0])) == pytest.approx(1)
    assert effective_count(np.array([1.0, -1.0, 1.0, -1.0])) == pytest.approx(4)
    assert effective_count(np.array([1e-200, 1e-200])) == pytest.approx(2)
    assert effective_count(np.zeros(5)) == 0


def test_a_difference_carried_by_few_examples_is_not_reliable() -> None:
    d = np.zeros(1_000)
    d[:5] = -1
    assert not studentised_mean(d).reliable
    d[:20] = -1
    assert studentised_mean(d).reliable


def test_no_difference_at_all_is_an_interval_of_zero() -> None:
    found = studentised_mean(np.zeros(10))
    assert (found.mean, found.interval) == (0.0, (0.0, 0.0))


def test_a_limit_that_does_not_exist_is_not_invented() -> None:
    assert studentised_mean([0.0, 0.0, 1.0]).interval is None


def test_tiny_differences_keep_their_precision() -> None:
    d = 1e-9 * np.random.default_rng(0).normal(1, 1, 400)
    interval = studentised_mean(d).interval
    assert interval is not None
    assert np.allclose(interval, 1e9 * np.array(studentised_mean(1e9 * d).interval) / 1e18, rtol=1e-6)


def test_percentile_interval_of_one_arm_covers_its_mean() -> None:
    x = np.random.default_rng(0).exponential(size=500)
    low, high = percentile_mean(x)
    standard_error = x.std() / np.sqrt(500)
    assert (low, high) == pytest.approx((x.mean() - 1.96 * standard_error, x.mean() + 1.96 * standard_error), rel=0.02)


@pytest.mark.parametrize("values", [[], [[1.0]], [np.nan], [np.inf]])
def test_what_is_no_row_of_numbers_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite numbers"):
        studentised_mean(values)
