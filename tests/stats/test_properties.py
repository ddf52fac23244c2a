"""What holds for all data: an order that must not matter, arms that can be swapped, units, monotonicity, bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gelu_patch.stats.bootstrap import carriers, effective_count, percentile_mean, studentised_mean
from gelu_patch.stats.counts import accuracy_of, f1_of, marginals, matthews_of, paired_counts
from gelu_patch.stats.groups import by_group
from gelu_patch.stats.multiplicity import holm, holm_levels
from gelu_patch.stats.paired import mcnemar_p, minimum_n, tango_interval, z_of
from gelu_patch.stats.power import needed_n, power
from gelu_patch.stats.ratio import percentile_ratio
from gelu_patch.stats.seeds import diverged_p, needed_seeds, seed_paired_t
from gelu_patch.stats.single import wilson_interval
from gelu_patch.stats.timing import paired_ratio, quantiles

many = settings(max_examples=50, deadline=None)
few = settings(max_examples=15, deadline=None)
NUMBERS = st.floats(-100, 100).map(lambda x: round(x, 3))
ROWS = arrays(np.float64, st.integers(3, 25), elements=NUMBERS)
FLIPS = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(1, 400))
P_VALUES = st.lists(st.floats(0, 1), max_size=7)


def mirrored(interval: tuple[float, float] | None) -> Any:
    assert interval is not None
    return pytest.approx((-interval[1], -interval[0]), rel=1e-9, abs=1e-12)


# Right-or-wrong outcomes.


@many
@given(FLIPS)
def test_more_of_the_same_evidence_narrows_the_interval(flips: tuple[int, int, int]) -> None:
    b, c, rest = flips
    n = b + c + rest
    (low, high), (lower, higher) = tango_interval(2 * b, 2 * c, 2 * n), tango_interval(b, c, n)
    assert high - low < higher - lower


@many
@given(FLIPS, st.sampled_from([0.5, 0.05, 0.01]))
def test_a_smaller_error_widens_the_interval(flips: tuple[int, int, int], alpha: float) -> None:
    b, c, rest = flips
    n = b + c + rest
    (low, high), (lower, higher) = (tango_interval(b, c, n, z=z_of(a)) for a in (alpha, alpha / 2))
    assert lower < low <= high < higher


@many
@given(FLIPS)
def test_one_more_loss_moves_both_limits_down(flips: tuple[int, int, int]) -> None:
    b, c, rest = flips
    n = b + c + rest
    (low, high), (lower, higher) = tango_interval(b, c, n), tango_interval(b + 1, c, n)
    assert lower < low
    assert higher < high


@many
@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_a_probability_that_knows_no_arm(b: int, c: int) -> None:
    assert 0 < mcnemar_p(b, c) <= 1
    assert mcnemar_p(b, c) == mcnemar_p(c, b)
    if b != c:  # one flip more on the losing side speaks for a difference
        assert mcnemar_p(max(b, c) + 1, min(b, c)) < mcnemar_p(b, c)


@many
@given(st.integers(1, 300), st.data())
def test_wilson_mirrors_and_holds_the_share(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    low, high = wilson_interval(k, n)
    assert 0 <= low <= k / n <= high <= 1
    assert wilson_interval(n - k, n) == pytest.approx((1 - high, 1 - low), abs=1e-12)
    wider = wilson_interval(k, n, z=3.0)
    assert wider[0] <= low
    assert wider[1] >= high


@many
@given(st.floats(0.0005, 0.2), st.floats(1.0, 3.5))
def test_the_fewest_examples_are_just_enough(margin: float, z: float) -> None:
    n = minimum_n(margin, z=z)
    assert -tango_interval(0, 0, n, z=z)[0] <= margin * (1 + 1e-9)
    assert n == 1 or -tango_interval(0, 0, n - 1, z=z)[0] > margin * (1 - 1e-9)


# Means.


@few
@given(ROWS, st.randoms(use_true_random=False))
def test_an_interval_of_a_mean_mirrors_and_scales(d: np.ndarray, random: Any) -> None:
    found = studentised_mean(d, resamples=400)
    assume(found.interval is not None)
    low, high = found.interval or (0, 0)
    assert low <= found.mean <= high or found.p_value <= 1
    assert studentised_mean(8 * d, resamples=400).interval == pytest.approx((8 * low, 8 * high))  # exact: a power of 2
    assert studentised_mean(d, resamples=400, level=0.5).interval is not None
    narrow = studentised_mean(d, resamples=400, level=0.5).interval or (0, 0)
    assert narrow[0] >= low - 1e-12
    assert narrow[1] <= high + 1e-12


@many
@given(ROWS)
def test_who_carries_a_difference(d: np.ndarray) -> None:
    count, share = effective_count(d), carriers(d)
    assert 0 <= count <= len(d) + 1e-9
    assert 0 <= share <= 1
    assert effective_count(-3 * d) == pytest.approx(count)
    assert effective_count(np.concatenate([d, np.zeros(7)])) == pytest.approx(count)
    assert carriers(-d) == share
    assert carriers(d, 0.5) <= share <= carriers(d, 1.0)
    assert carriers(d, 1.0) == np.count_nonzero(d) / len(d)


def test_carriers_by_hand() -> None:
    assert carriers(np.array([0.0, -9.0, 1.0, 0.0])) == 0.25  # one unit makes up 90 %
    assert carriers(np.array([5.0, -5.0])) == 1.0
    assert carriers(np.zeros(3)) == 0.0
    assert carriers(np.array([])) == 0.0


@few
@given(ROWS)
def test_an_interval_of_one_arm_lies_between_its_values(x: np.ndarray) -> None:
    low, high = percentile_mean(x, resamples=300)
    assert x.min() - 1e-9 <= low <= high <= x.max() + 1e-9
    inner = percentile_mean(x, resamples=300, level=0.5)
    assert low <= inner[0] <= inner[1] <= high


@few
@given(st.lists(st.tuples(st.floats(-9, 9), st.integers(1, 9)), min_size=1, max_size=20), st.integers(1, 8))
def test_a_ratio_of_sums_lies_between_the_ratios_and_scales(pairs: list[tuple[float, int]], factor: int) -> None:
    above, below = np.array([a for a, _ in pairs]), np.array([float(b) for _, b in pairs])
    low, high = percentile_ratio(above, below)
    assert (above / below).min() - 1e-9 <= low <= high <= (above / below).max() + 1e-9
    assert percentile_ratio(factor * above, below) == pytest.approx((factor * low, factor * high), abs=1e-9)
    inner = percentile_ratio(above, below, level=0.5)
    assert low <= inner[0] <= inner[1] <= high


# Groups.


@many
@given(ROWS, st.data())
def test_groups_have_no_order_and_no_names(d: np.ndarray, data: st.DataObject) -> None:
    groups = np.array(data.draw(st.lists(st.integers(0, 5), min_size=len(d), max_size=len(d))))
    order = np.array(data.draw(st.permutations(range(len(d)))))
    found, moved = by_group(d, groups), by_group(d[order], [f"text {g}" for g in groups[order]])
    assert len(found.values) == len(set(groups))
    assert found.values == pytest.approx(moved.values)
    assert found.values.mean() == pytest.approx(d.mean(), abs=1e-9)
    assert found.design_effect == pytest.approx(moved.design_effect)
    assert found.design_effect >= 1
    assert by_group(3 * d + 1, groups).design_effect == pytest.approx(found.design_effect, rel=1e-6)


# Counts.

ARMS = st.integers(2, 4).flatmap(
    lambda classes: st.tuples(
        st.just(classes),
        st.lists(st.tuples(*3 * [st.integers(0, classes - 1)]), min_size=1, max_size=40),
    )
)


@few
@given(ARMS, st.sampled_from([accuracy_of, f1_of, matthews_of]), st.booleans())
def test_counts_have_no_order_and_swapping_the_arms_changes_the_sign(arms: Any, metric: Any, grouped: bool) -> None:
    classes, rows = arms
    label, before, after = np.array(rows).T
    groups = np.arange(len(rows)) // 3 if grouped else None
    found = paired_counts(label, before, after, classes, metric, groups=groups, resamples=200)
    back = paired_counts(label, after, before, classes, metric, groups=groups, resamples=200)
    assert back.difference == pytest.approx(-found.difference)
    assert (back.before, back.after) == (found.after, found.before)
    assert back.discordant == found.discordant
    assert back.groups == found.groups == (None if groups is None else len(set(groups)))
    assert 0 < found.p_randomised <= 1
    turned = paired_counts(*(row[::-1] for row in (label, before, after)), classes, metric, resamples=200)
    assert (turned.before, turned.after) == pytest.approx((found.before, found.after))
    low, high = found.interval
    assert -2 <= low <= high <= 2


@many
@given(ARMS)
def test_metrics_of_counts_are_bounded_and_1_when_all_is_right(arms: Any) -> None:
    classes, rows = arms
    label, pred, _ = np.array(rows).T
    counts, perfect = marginals(label, pred, classes), marginals(label, label, classes)
    assert accuracy_of(counts) == pytest.approx((label == pred).mean())
    assert 0 <= f1_of(counts) <= 1 + 1e-12
    assert -1 - 1e-12 <= matthews_of(counts) <= 1 + 1e-12
    assert accuracy_of(perfect) == 1
    assert matthews_of(perfect) == pytest.approx(float(len(set(label)) > 1))
    assert f1_of(perfect) == (1.0 if classes > 2 or 1 in label else 0.0)


# Several questions, seeds, power.


@many
@given(P_VALUES, st.data())
def test_holm_is_monotone_has_no_order_and_never_helps(p_values: list[float], data: st.DataObject) -> None:
    adjusted = holm(p_values)
    assert all(p <= a <= 1 for p, a in zip(p_values, adjusted, strict=True))
    assert [adjusted[i] for i in sorted(range(len(p_values)), key=p_values.__getitem__)] == sorted(adjusted)
    order = data.draw(st.permutations(range(len(p_values))))
    assert holm([p_values[i] for i in order]) == pytest.approx([adjusted[i] for i in order])
    for i in range(len(p_values)):  # less evidence in one question makes no answer stronger
        weaker = [*p_values[:i], (1 + p_values[i]) / 2, *p_values[i + 1 :]]
        assert all(new >= old - 1e-15 for new, old in zip(holm(weaker), adjusted, strict=True))


@many
@given(P_VALUES, st.floats(0.001, 0.5))
def test_levels_lie_between_bonferroni_and_no_correction(p_values: list[float], alpha: float) -> None:
    levels = holm_levels(p_values, alpha)
    assert all(alpha / len(p_values) <= level <= alpha for level in levels)
    in_order = [levels[i] for i in sorted(range(len(p_values)), key=p_values.__getitem__)]
    assert in_order == sorted(in_order)
    assert not in_order or in_order[0] == alpha / len(p_values)


@many
@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=9), st.floats(-50, 50))
def test_seeds_have_no_order_and_swapping_the_arms_mirrors(pairs: list[tuple[float, float]], shift: float) -> None:
    before, after = np.array(pairs).T
    found, back = seed_paired_t(before, after), seed_paired_t(after, before)
    assert back.mean == pytest.approx(-found.mean)
    assert back.interval == mirrored(found.interval)
    assert back.p_value == found.p_value
    assert seed_paired_t(before[::-1], after[::-1]).interval == pytest.approx(found.interval, abs=1e-9)
    moved = seed_paired_t(before + shift, after + shift)
    assert moved.interval == pytest.approx(found.interval, abs=1e-9)
    assert found.seeds == len(pairs)
    low, high = seed_paired_t(before, after, level=0.99).interval or (0, 0)
    assert low <= (found.interval or (0, 0))[0]
    assert high >= (found.interval or (0, 0))[1]


@many
@given(st.integers(0, 8), st.integers(0, 8))
def test_divergence_knows_no_arm(baseline: int, candidate: int) -> None:
    assert diverged_p(baseline, 8, candidate, 8) == pytest.approx(diverged_p(candidate, 8, baseline, 8))
    assert diverged_p(baseline, 8, candidate, 8) == pytest.approx(diverged_p(8 - baseline, 8, 8 - candidate, 8))
    assert diverged_p(baseline, 8, baseline, 8) == pytest.approx(1)


@many
@given(st.floats(0.01, 3), st.floats(0, 0.95))
def test_more_noise_needs_more_seeds_and_pairing_fewer(spread: float, correlation: float) -> None:
    n = needed_seeds(spread, 1.0, correlation=correlation)
    assert needed_seeds(1.2 * spread, 1.0, correlation=correlation) >= n
    assert needed_seeds(spread, 0.9, correlation=correlation) >= n
    assert needed_seeds(spread, 1.0) >= n
    assert needed_seeds(spread, 1.0, correlation=correlation, target=0.9) >= n
    assert needed_seeds(spread, 1.0, correlation=correlation, alpha=0.05) <= n
    assert needed_seeds(7 * spread, 7.0, correlation=correlation) == n


@few
@given(st.integers(200, 3_000), st.floats(0.002, 0.05), st.floats(0.005, 0.03))
def test_power_grows_with_the_examples_and_the_margin(n: int, flip_rate: float, margin: float) -> None:
    value = power(n, flip_rate, margin)
    assert 0 <= value <= 1 + 1e-9
    assert power(2 * n, flip_rate, margin) >= value - 0.02  # the exact power saw-tooths
    assert power(n, flip_rate, 1.5 * margin) >= value - 1e-9
    assert power(n, flip_rate, margin, z=1.0) >= value - 1e-9


def test_a_looser_claim_needs_fewer_examples() -> None:
    assert needed_n(0.02, 0.02) < needed_n(0.02, 0.02, target=0.9) < needed_n(0.02, 0.01, target=0.9)
    assert needed_n(0.02, 0.02, z=1.0) < needed_n(0.02, 0.02)


# Times.

TIMES = arrays(np.float64, (2, 12), elements=st.floats(1e-3, 1.0).map(lambda t: round(t, 4)))


@few
@given(TIMES, st.sampled_from([2.0**-20, 1e3]))
def test_a_ratio_has_no_unit_and_swapping_the_arms_inverts_it(times: np.ndarray, unit: float) -> None:
    base, cand = times
    found = paired_ratio([base], [cand], resamples=200)
    assert paired_ratio([base * unit], [cand * unit], resamples=200).ratio == pytest.approx(found.ratio)
    assert paired_ratio([base], [base], resamples=200).interval == pytest.approx((1, 1))
    back = paired_ratio([cand], [base], resamples=200)
    assert back.ratio == pytest.approx(1 / found.ratio)
    low, high = found.interval
    assert (cand / base).min() * (1 - 1e-9) <= low <= high <= (cand / base).max() * (1 + 1e-9)
    twice = paired_ratio([base], [2 * cand], resamples=200)
    assert twice.interval == pytest.approx((2 * low, 2 * high))


@many
@given(arrays(np.float64, st.integers(1, 30), elements=st.floats(1e-6, 10)))
def test_quantiles_are_in_order_and_inside(times: np.ndarray) -> None:
    found = quantiles(times)
    assert times.min() <= found.p50 <= found.p90 <= found.p99 <= times.max()
    assert found.p50 == pytest.approx(np.median(times))
