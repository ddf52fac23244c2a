"""Each interval against its definition written out, draw by draw: the same numbers for the same seed, on every machine.

Reports are compared years later, so the stream of random numbers, its order and the defaults are part of the promise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm
from scipy.stats import t as student_t

from gelu_patch.stats import bootstrap, counts, ratio
from gelu_patch.stats.bootstrap import percentile_mean, studentised_mean
from gelu_patch.stats.counts import accuracy_of, count_interval, f1_of, marginals, paired_counts
from gelu_patch.stats.groups import by_group
from gelu_patch.stats.paired import Z_95, tango_interval, z_of
from gelu_patch.stats.power import needed_n, power
from gelu_patch.stats.ratio import percentile_ratio
from gelu_patch.stats.resampling import paired_percentile
from gelu_patch.stats.seeds import needed_seeds, seed_paired_t
from gelu_patch.stats.timing import paired_ratio, quantiles

DRAW = np.random.default_rng(20)
D = DRAW.exponential(size=40) - 0.7
SIZES = DRAW.integers(1, 9, 40).astype(float)
LABEL, BEFORE = DRAW.integers(0, 3, (2, 90))
AFTER = np.where(DRAW.random(90) < 0.7, DRAW.integers(0, 3, 90), BEFORE)


def rows(n: int, seed: int, resamples: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, n, size=(resamples, n), dtype=np.int32)


@pytest.mark.parametrize(("options", "seed", "tail"), [({}, 0, 0.025), ({"seed": 5, "level": 0.8}, 5, 0.1)])
def test_the_percentile_intervals(options: dict[str, Any], seed: int, tail: float) -> None:
    drawn = rows(40, seed, 10_000)
    mean = np.quantile(D[drawn].mean(axis=1), [tail, 1 - tail])
    assert percentile_mean(D, **options) == pytest.approx(tuple(mean), rel=1e-12)
    shares = np.quantile(D[drawn].sum(axis=1) / SIZES[drawn].sum(axis=1), [tail, 1 - tail])
    assert percentile_ratio(D, SIZES, **options) == pytest.approx(tuple(shares), rel=1e-12)


@pytest.mark.parametrize(("options", "seed", "tail"), [({}, 0, 0.025), ({"seed": 5, "level": 0.8}, 5, 0.1)])
def test_the_studentised_interval_and_its_p(options: dict[str, Any], seed: int, tail: float) -> None:
    drawn, error = D[rows(40, seed, 10_000)], D.std(ddof=1) / np.sqrt(40)
    t = (drawn.mean(axis=1) - D.mean()) / (drawn.std(axis=1, ddof=1) / np.sqrt(40))
    low, high = np.quantile(t, [tail, 1 - tail], method="inverted_cdf")
    found = studentised_mean(D, **options)
    assert found.interval == pytest.approx((D.mean() - high * error, D.mean() - low * error), rel=1e-9)
    seen = D.mean() / error
    assert found.p_value == pytest.approx(2 * (1 + min((t >= seen).sum(), (t <= seen).sum())) / 10_001)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize(
    ("options", "seed", "tail", "resamples"),
    [({}, 0, 0.025, 1_000), ({"seed": 5, "level": 0.8, "resamples": 300}, 5, 0.1, 300)],
)
def test_the_paired_percentile(grouped: bool, options: dict[str, Any], seed: int, tail: float, resamples: int) -> None:
    groups = np.array([f"text {i % 13}" for i in range(90)]) if grouped else None
    members = (
        [np.flatnonzero(groups == name) for name in np.unique(groups)] if grouped else list(np.arange(90)[:, None])
    )
    generator, differences = np.random.default_rng(seed), []
    for _ in range(resamples):
        chosen = np.concatenate([members[i] for i in generator.integers(0, len(members), len(members))])
        right = [(LABEL[chosen] == arm[chosen]).mean() for arm in (BEFORE, AFTER)]
        differences.append(right[1] - right[0])

    def accuracy(label: np.ndarray, pred: np.ndarray) -> float:
        return float((label == pred).mean())

    found = paired_percentile(accuracy, LABEL, BEFORE, AFTER, groups=groups, **options)
    assert found.interval == pytest.approx(tuple(np.quantile(differences, [tail, 1 - tail])))
    assert (found.before, found.after) == (accuracy(LABEL, BEFORE), accuracy(LABEL, AFTER))
    assert found.difference == found.after - found.before
    assert found.discordant == (BEFORE != AFTER).sum()


def test_a_paired_percentile_without_a_number_in_some_resamples() -> None:
    """A correlation of a constant is nan; such resamples are left out."""
    label = np.array([1] + [0] * 39)

    def share_of_ones_found(label: np.ndarray, pred: np.ndarray) -> float:
        return float((label & pred).sum() / label.sum()) if label.any() else float("nan")

    after = 1 - label
    found = paired_percentile(share_of_ones_found, label, label, after)
    assert found.interval == (-1.0, -1.0)
    assert paired_percentile(share_of_ones_found, label[:20], label[:20], after[:20]).interval is not None, "20 suffice"
    assert paired_percentile(share_of_ones_found, label[:19], label[:19], after[:19]).interval is None


@pytest.mark.parametrize("metric", [accuracy_of, f1_of])
@pytest.mark.parametrize("grouped", [False, True])
def test_the_paired_bootstrap_of_counts(metric: Callable[..., Any], grouped: bool) -> None:
    groups = np.arange(90) % 31 if grouped else None
    cells = groups if grouped else (LABEL * 3 + BEFORE) * 3 + AFTER
    kinds, unit = np.unique(cells, return_inverse=True)
    seen = np.ones(len(kinds), int) if grouped else np.bincount(unit)

    def of(weights: np.ndarray, pred: np.ndarray) -> float:
        """The metric when unit ``i`` occurs ``weights[i]`` times as often as it did."""
        each = (weights / seen)[unit] if not grouped else weights[unit]
        sums = [np.bincount(k, weights=w, minlength=3) for k, w in (
            (LABEL, each * (pred == LABEL)), (pred, each), (LABEL, each),
        )]  # fmt: skip
        return float(metric(counts.Marginals(*sums)))

    generator = np.random.default_rng(3)
    drawn = generator.multinomial(seen.sum(), seen / seen.sum(), size=400)
    differences = [of(weights, AFTER) - of(weights, BEFORE) for weights in drawn]
    found = paired_counts(LABEL, BEFORE, AFTER, 3, metric, groups=groups, seed=3, level=0.9, resamples=400)
    assert found.interval == pytest.approx(tuple(np.quantile(differences, [0.05, 0.95])))
    if not grouped:
        one = np.unique(LABEL * 9 + BEFORE * 4, return_counts=True)[1]
        draws = np.random.default_rng(0).multinomial(90, one / 90, size=10_000)
        assert len(draws[0]) == len(one)
        low, high = count_interval(LABEL, BEFORE, 3, metric)
        values = [_of_one_arm(row, metric) for row in draws]
        assert (low, high) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])))
    default = paired_counts(LABEL, BEFORE, AFTER, 3, metric, groups=groups)
    explicit = paired_counts(
        LABEL, BEFORE, AFTER, 3, metric, groups=groups, seed=0, level=0.95, resamples=counts.RESAMPLES
    )
    assert default == explicit


def _of_one_arm(weights: np.ndarray, metric: Callable[..., Any]) -> float:
    cells = np.unique(LABEL * 9 + BEFORE * 4)
    label, pred = cells // 9, cells % 9 // 4
    sums = [np.bincount(k, weights=w, minlength=3) for k, w in (
        (label, weights * (label == pred)), (pred, weights), (label, weights),
    )]  # fmt: skip
    return float(metric(counts.Marginals(*sums)))


def test_the_randomisation_p_is_that_of_its_coins() -> None:
    """Each example on which the arms differ is exchanged by a coin; equal sums count as equal."""
    found = paired_counts(LABEL, BEFORE, AFTER, 3, accuracy_of, seed=3, resamples=2_000)
    flips = int(found.discordant)
    coins = np.random.default_rng(8).binomial(flips, 0.5, size=200_000)
    gained = int(((LABEL == AFTER) & (LABEL != BEFORE)).sum())
    assert found.difference == pytest.approx((2 * gained - flips) / 90)
    as_far = np.abs(2 * coins - flips) >= abs(2 * gained - flips)
    assert found.p_randomised == pytest.approx(as_far.mean(), abs=0.04)
    assert found.p_randomised * 2_001 == pytest.approx(round(found.p_randomised * 2_001))


def test_a_ratio_of_times_with_one_process() -> None:
    base, cand = np.exp(0.05 * DRAW.normal(size=(2, 60)))
    logs = np.log(cand) - np.log(base)
    starts = _draws_of_one_process(seed=4, resamples=500, blocks=20, length=60, size=3)
    places = (starts[:, :, None] + np.arange(3)).reshape(500, 60)
    centres = np.median(logs[places], axis=1)
    found = paired_ratio([base], [cand], seed=4, resamples=500, level=0.9)
    assert found.ratio == pytest.approx(np.exp(np.median(logs)))
    assert found.interval == pytest.approx(tuple(np.exp(np.quantile(centres, [0.05, 0.95]))))
    assert paired_ratio([base], [cand]) == paired_ratio([base], [cand], seed=0, level=0.95, resamples=2_000, block=10)


def _draws_of_one_process(*, seed: int, resamples: int, blocks: int, length: int, size: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    generator.integers(0, 1, size=(resamples, 1))  # which process
    return generator.integers(0, length - size + 1, size=(resamples, blocks))


def test_processes_that_differ_are_moved_apart_by_the_t_quantile() -> None:
    """Without noise inside, K processes are spread by t/z times sqrt(K/(K-1)): the width of a t interval."""
    shifts = np.array([-0.02, 0.0, 0.05])
    found = paired_ratio([np.ones(20)] * 3, [np.full(20, np.exp(s)) for s in shifts], level=0.9)
    widest = student_t.ppf(0.95, 2) / norm.ppf(0.95) * np.sqrt(3 / 2)
    apart = shifts.mean() + widest * (shifts - shifts.mean())
    assert found.interval == pytest.approx((np.exp(apart[0]), np.exp(apart[2])), rel=1e-9)
    assert found.ratio == pytest.approx(1.0), "the estimate itself is not moved"


def test_blocks_are_ten_pairs_unless_there_are_few() -> None:
    calm = np.ones(400)
    drift = np.exp(0.1 * DRAW.normal(size=400))
    ten = paired_ratio([calm], [drift]).interval
    assert ten == paired_ratio([calm], [drift], block=10).interval
    assert ten != paired_ratio([calm], [drift], block=9).interval
    few = drift[:100]  # 20 blocks are wanted, so they are of 5
    assert paired_ratio([calm[:100]], [few]).interval == paired_ratio([calm[:100]], [few], block=5).interval


def test_design_effect_by_hand() -> None:
    found = by_group([0, 0, 3, 3, 6, 6], list("aabbcc"))
    assert found.values == pytest.approx([0, 3, 6])
    assert found.design_effect == pytest.approx(3 / 1.2)
    assert by_group([2.0], ["a"]).design_effect == 1
    assert by_group([1.0, 2.0], ["a", "a"]).design_effect == 1
    assert by_group([1.0, 2.0, 4.0], ["a", "a", "a"]).values == pytest.approx([7 / 3])
    assert by_group([5, 5, 5], ["a", "b", "b"]).design_effect == 1


def test_half_precision_is_computed_in_double() -> None:
    """Models hand out half precision, whose sums overflow at 65,504."""
    large = np.array([60_000, 50_000, 40_000, 60_000], np.float16)
    small = np.array([1, 2, 1, 2], np.float16)
    double = large.astype(np.float64)
    assert percentile_mean(large) == percentile_mean(double)
    assert studentised_mean(large).mean == double.mean()
    assert percentile_ratio(large, large) == (1.0, 1.0)
    assert percentile_ratio(large, small) == percentile_ratio(double, small)
    assert by_group(large, [0, 0, 1, 1]).values == pytest.approx(by_group(double, [0, 0, 1, 1]).values)
    assert seed_paired_t(large, -large).mean == -2 * double.mean()
    assert quantiles(large[:2]).p50 == double[:2].mean()
    assert paired_ratio([large], [large / 2]).ratio == pytest.approx(0.5)


def test_counts_may_be_of_any_integer_type() -> None:
    found = paired_counts(LABEL, BEFORE, AFTER, 3, f1_of, resamples=50)
    narrow = (row.astype(np.uint8) for row in (LABEL, BEFORE, AFTER))
    assert paired_counts(*narrow, 3, f1_of, resamples=50) == found
    assert paired_counts(*(list(map(int, row)) for row in (LABEL, BEFORE, AFTER)), 3, f1_of, resamples=50) == found
    small = count_interval(LABEL.astype(np.int8), BEFORE.astype(np.int8), 3, f1_of)
    assert small == count_interval(LABEL, BEFORE, 3, f1_of)
    assert marginals([0, 1, 1], [1, 1, 0], 4).right.tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize("module", [bootstrap, ratio])
def test_the_number_of_resamples_follows_the_number_of_values(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """10,000 when there are few, fewer when there are many, never below 1,000; in chunks that change nothing."""
    asked: list[tuple[int, int]] = []

    class Counting:
        def __init__(self, seed: int) -> None:
            self.generator = np.random.Generator(np.random.PCG64(seed))

        def integers(self, *arguments: Any, size: tuple[int, int], **options: Any) -> np.ndarray:
            asked.append(size)
            return self.generator.integers(*arguments, size=size, **options)

    interval = percentile_mean if module is bootstrap else (lambda x: percentile_ratio(x, np.ones(len(x))))
    whole = interval(D)
    monkeypatch.setattr(module.np.random, "default_rng", Counting)
    for draws, resamples in ((10**9, 10_000), (40 * 4_321, 4_321), (40 * 4_321 + 39, 4_321), (1, 1_000)):
        monkeypatch.setattr(module, "_DRAWS", draws)
        asked.clear()
        interval(D)
        assert sum(some for some, _ in asked) == resamples
    monkeypatch.setattr(module, "_DRAWS", 10**9)
    for chunk, largest in ((40 * 3_000 + 39, 3_000), (40, 1), (1, 1)) if module is ratio else ((120_039, 3_000),):
        monkeypatch.setattr(module, "_CHUNK", chunk)
        asked.clear()
        assert interval(D) == pytest.approx(whole, rel=1e-12)
        assert max(some for some, _ in asked) == largest


def test_counts_are_resampled_in_chunks_that_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = paired_counts(LABEL, BEFORE, AFTER, 3, f1_of, resamples=100)
    monkeypatch.setattr(counts, "_CHUNK", 300)
    chunked = paired_counts(LABEL, BEFORE, AFTER, 3, f1_of, resamples=100)
    assert chunked.interval == pytest.approx(whole.interval)
    for draws, resamples in ((10**9, 10_000), (22 * 4_321 + 21, 4_321), (1, 1_000)):
        monkeypatch.setattr(counts, "_DRAWS", draws)
        monkeypatch.setattr(counts, "_CHUNK", 2_000_000)
        table = counts._JointTable.of(np.arange(22) // 9, np.arange(22) // 3 % 3, np.arange(22) % 3, 3, None)
        assert sum(table._chunks(None)) == resamples
        assert sum(table._chunks(7)) == 7
    assert list(table._chunks(7)) == [7]
    monkeypatch.setattr(counts, "_CHUNK", 22 * 3 + 21)
    assert list(table._chunks(7)) == [3, 3, 1]
    monkeypatch.setattr(counts, "_CHUNK", 1)
    assert list(table._chunks(2)) == [1, 1]


def test_needed_n_as_it_stands_in_reports() -> None:
    assert [needed_n(rate, 0.02) for rate in (0.0, 0.005, 0.01, 0.05)] == NEEDED
    assert 891 <= needed_n(0.0, 0.01, z=3.0) <= 895  # 9 * 0.99 / 0.01, found to half a per cent
    n = needed_n(0.02, 0.02, z=2.8)
    assert power(n, 0.02, 0.02, z=2.8) >= 0.8 > power(int(0.9 * n), 0.02, 0.02, z=2.8)


NEEDED: list[int] = [189, 280, 361, 1045]


def test_quantiles_of_the_normal_distribution() -> None:
    assert z_of(0.025) == Z_95 == pytest.approx(norm.isf(0.025), abs=1e-15)
    assert z_of(0.05) == pytest.approx(1.6448536, abs=1e-7)
    assert tango_interval(3, 1, 50) == tango_interval(3, 1, 50, z=z_of(0.025))
    assert tango_interval(1.5, 0.5, 25) != tango_interval(1, 0, 25), "counts may be fractions"


def test_seeds_defaults() -> None:
    pair = ([1.0, 2.0, 4.0], [2.0, 2.0, 5.0])
    assert seed_paired_t(*pair) == seed_paired_t(*pair, level=0.95)
    assert needed_seeds(1.0, 1.0) == needed_seeds(1.0, 1.0, correlation=0.0, target=0.8, alpha=0.025)
    assert seed_paired_t([1.0, 2.0], [2.0, 3.0]).p_value == 0.0, "the same difference twice"
    assert needed_seeds(11.39, 1.0, target=0.5) == 1_000, "the most that is answered: 1.9623² * 2 * 11.39² is 999.1"
