from __future__ import annotations

import numpy as np
import pytest

from gelu_patch.stats.timing import paired_ratio, quantiles


def noisy(n: int, seed: int, spread: float = 0.05) -> np.ndarray:
    return 5e-3 * np.random.default_rng(seed).lognormal(0, spread, n)


def test_a_planted_delay_is_found() -> None:
    base, cand = noisy(200, 0), 1.05 * noisy(200, 1)
    found = paired_ratio([base], [cand])
    assert found.ratio == pytest.approx(1.05, abs=0.015)
    assert found.interval[0] > 1.02


def test_the_base_against_itself_is_never_different() -> None:
    """Twenty A/A runs; at 95 % one or two may miss."""
    missed = 0
    for seed in range(20):
        low, high = paired_ratio([noisy(200, seed)], [noisy(200, 1_000 + seed)], resamples=500).interval
        missed += not low <= 1 <= high
    assert missed <= 2


def test_the_ratio_is_the_median_of_the_pairs_and_swapping_inverts_it() -> None:
    base, cand = noisy(101, 0), noisy(101, 1)
    found = paired_ratio([base], [cand])
    assert found.ratio == pytest.approx(np.median(cand / base))
    back = paired_ratio([cand], [base])
    assert back.interval == pytest.approx((1 / found.interval[1], 1 / found.interval[0]), rel=1e-9)


def test_processes_that_disagree_widen_the_interval() -> None:
    shifts = (0.95, 1.0, 1.05)
    base = [noisy(100, i, 0.01) for i in range(3)]
    cand = [shift * noisy(100, 10 + i, 0.01) for i, shift in enumerate(shifts)]
    pooled = paired_ratio([np.concatenate(base)], [np.concatenate(cand)]).interval
    separate = paired_ratio(base, cand).interval
    assert separate[1] - separate[0] > 1.5 * (pooled[1] - pooled[0])


def test_slow_drift_widens_the_interval_because_blocks_keep_it() -> None:
    drift = np.exp(0.1 * np.sin(np.linspace(0, 20, 400)))
    base, cand = np.full(400, 1.0), drift
    blocks = paired_ratio([base], [cand]).interval
    single = paired_ratio([base], [cand], block=1).interval
    assert blocks[1] - blocks[0] > 1.5 * (single[1] - single[0])


def test_few_pairs_and_equal_times_work() -> None:
    assert paired_ratio([[1.0, 1.0]], [[2.0, 2.0]]).interval == pytest.approx((2, 2))


def test_the_same_seed_gives_the_same_interval() -> None:
    base, cand = [noisy(50, 0)], [noisy(50, 1)]
    assert paired_ratio(base, cand, seed=1) == paired_ratio(base, cand, seed=1)
    assert paired_ratio(base, cand, seed=1) != paired_ratio(base, cand, seed=2)


@pytest.mark.parametrize(
    ("base", "cand"),
    [([[1.0, 2.0]], [[1.0]]), ([[0.0]], [[1.0]]), ([[1.0]], [[0.0]]), ([[]], [[]]), ([], []), ([[1.0]], [[np.nan]])],
)
def test_times_that_cannot_be_paired_are_refused(base: list[list[float]], cand: list[list[float]]) -> None:
    with pytest.raises(ValueError, match=r"time|process"):
        paired_ratio(base, cand)


def test_quantiles() -> None:
    found = quantiles(np.arange(101))
    assert (found.p50, found.p90, found.p99) == (50, 90, 99)
    with pytest.raises(ValueError, match="no times"):
        quantiles([])


def test_the_interval_covers_equal_arms_as_often_as_it_promises() -> None:
    """100 pairs, truth 1: a 95 % interval may miss in 5 %; 200 draws have a standard error of 1.5 points."""
    generator = np.random.default_rng(5)
    misses = 0
    for seed in range(200):
        candidate = np.exp(generator.normal(0, 0.03, 100))
        low, high = paired_ratio([np.ones(100)], [candidate], seed=seed, resamples=400).interval
        misses += not low <= 1 <= high
    assert misses / 200 <= 0.05 + 3 * 0.015


@pytest.mark.parametrize(("between", "within"), [(0.0, 0.03), (0.01, 0.03), (0.02, 0.005)])
def test_three_processes_cover_equal_arms_as_often_as_promised(between: float, within: float) -> None:
    """Processes that differ by their memory layout: a plain bootstrap of three misses up to 25 % (promised: 5 %)."""
    generator = np.random.default_rng(11)
    misses = 0
    for seed in range(150):
        candidate = [np.exp(generator.normal(generator.normal(0, between), within, 60)) for _ in range(3)]
        low, high = paired_ratio([np.ones(60)] * 3, candidate, seed=seed, resamples=200).interval
        misses += not low <= 1 <= high
    assert misses / 150 <= 0.075 + 3 * 0.02


def test_a_baseline_that_ran_twice_is_not_biased_by_stalls() -> None:
    generator = np.random.default_rng(3)
    stock, again, other = np.exp(
        generator.normal(0, 0.03, (3, 4000)) + generator.choice([0, 0.7], (3, 4000), p=[0.9, 0.1])
    )
    assert paired_ratio([np.stack([stock, again])], [other]).ratio == pytest.approx(1, abs=0.003)
    mean = paired_ratio([np.sqrt(stock * again)], [other]).ratio
    assert mean < 0.998, "which is why the rows are not averaged"


def test_a_baseline_that_ran_twice_is_less_noisy_than_one() -> None:
    stock, again, other = noisy(400, 0), noisy(400, 1), noisy(400, 2)
    one = paired_ratio([stock], [other]).interval
    two = paired_ratio([np.stack([stock, again])], [other]).interval
    assert two[1] - two[0] < one[1] - one[0]
