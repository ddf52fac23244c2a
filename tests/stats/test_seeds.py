"""Seeds as units, and several questions at once."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import false_discovery_control, ttest_rel

from gelu_patch.stats.multiplicity import holm
from gelu_patch.stats.seeds import diverged_p, needed_seeds, seed_paired_t


def test_the_interval_is_students_of_the_pairs() -> None:
    # W. S. Gosset, "The probable error of a mean", Biometrika 6 (1908): hours of sleep gained by ten patients.
    one = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    other = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    found = seed_paired_t(one, other)
    assert (found.mean, found.standard_deviation) == pytest.approx((1.58, 1.23), abs=5e-3)
    assert found.interval == pytest.approx((0.7001142, 2.4598858), abs=1e-6)
    assert found.p_value == pytest.approx(ttest_rel(other, one).pvalue)
    assert found.p_value == pytest.approx(0.002833, abs=1e-6)


def test_examples_inside_a_seed_do_not_add_seeds() -> None:
    """Five seeds give an interval as wide as their spread, however many examples each was measured on."""
    draw = np.random.default_rng(0)
    base, cand = 0.9 + 0.01 * draw.normal(size=(2, 5))
    low, high = seed_paired_t(base, cand).interval or (0, 0)
    assert high - low == pytest.approx(2 * 2.776 * np.std(cand - base, ddof=1) / np.sqrt(5), rel=1e-3)


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_a_harm_at_the_margin_is_rarely_called_non_inferior(seeds: int) -> None:
    draw, margin, runs = np.random.default_rng(seeds), 0.01, 4_000
    before, after = draw.normal(size=(2, runs, seeds)) * 0.007
    lower = [(seed_paired_t(b, a - margin).interval or (0, 0))[0] for b, a in zip(before, after, strict=True)]
    assert np.mean(np.array(lower) > -margin) == pytest.approx(0.025, abs=3 * 0.0025)


def test_one_seed_has_no_interval() -> None:
    found = seed_paired_t([0.9], [0.8])
    assert (found.interval, found.standard_deviation, found.p_value) == (None, None, None)


def test_equal_seeds_are_equal() -> None:
    found = seed_paired_t([0.9, 0.8], [0.9, 0.8])
    assert (found.mean, found.interval, found.p_value) == (0.0, (0.0, 0.0), 1.0)


@pytest.mark.parametrize("rows", [([], []), ([1.0], [1.0, 2.0]), ([np.nan, 1.0], [1.0, 1.0]), ([1.0], [np.inf])])
def test_a_diverged_or_missing_seed_is_not_averaged(rows: tuple[list[float], list[float]]) -> None:
    with pytest.raises(ValueError, match="seed"):
        seed_paired_t(*rows)


def test_divergence_by_fishers_tea() -> None:
    # R. A. Fisher, The Design of Experiments (1935): eight cups, all right: one in 70 each way.
    assert diverged_p(0, 4, 4, 4) == pytest.approx(2 / 70)
    assert diverged_p(0, 5, 0, 5) == 1.0
    assert diverged_p(1, 5, 1, 5) == 1.0


@pytest.mark.parametrize(
    ("spread", "margin", "independent", "correlated"),
    [(0.3, 0.5, 8, 5), (0.5, 1.0, 7, 5), (1.0, 1.0, 18, 10), (1.5, 1.0, 38, 20)],
)
def test_needed_seeds_reproduce_the_table(spread: float, margin: float, independent: int, correlated: int) -> None:
    assert needed_seeds(spread, margin) == independent
    assert needed_seeds(spread, margin, correlation=0.5) == correlated


def test_needed_seeds_have_the_power_they_promise() -> None:
    draw, n = np.random.default_rng(0), needed_seeds(1.0, 1.0)
    before, after = draw.normal(size=(2, 4_000, n))
    passed = [(seed_paired_t(b, a).interval or (-9, 0))[0] > -1.0 for b, a in zip(before, after, strict=True)]
    assert 0.78 <= np.mean(passed) <= 0.86


def test_too_many_seeds_are_said_to_be_too_many() -> None:
    with pytest.raises(ValueError, match="more than"):
        needed_seeds(100.0, 0.01)
    assert needed_seeds(0.0, 0.01) == 2


def test_holm_as_published() -> None:
    # R's p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm")
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert holm([0.04, 0.001, 0.9]) == pytest.approx([0.08, 0.003, 0.9])
    assert holm([]) == []
    assert holm([0.6, 0.7]) == [1.0, 1.0]


def test_holm_is_the_closed_test_of_bonferroni() -> None:
    """A question is answered at a level when every set of questions that holds it is, by Bonferroni."""
    for p in np.random.default_rng(0).random((20, 4)) ** 3:
        for i, adjusted in enumerate(holm(list(p))):
            sets = [s for size in range(1, 5) for s in combinations(range(4), size) if i in s]
            assert adjusted == pytest.approx(min(1, max(len(s) * min(p[list(s)]) for s in sets)))
        assert all(np.array(holm(list(p))) >= false_discovery_control(p) - 1e-12)
