"""F1 and Matthews from counts: scikit-learn as the oracle, the bootstrap written out, and what it promises."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import norm

from gelu_patch.stats.counts import (
    MINIMUM_DISCORDANT,
    CountMetric,
    accuracy_of,
    count_interval,
    f1_of,
    marginals,
    matthews_of,
    paired_counts,
)

METRICS = {"accuracy": accuracy_of, "f1": f1_of, "matthews": matthews_of}


def three_arms(n: int, classes: int, *, changed: float = 0.1, seed: int = 0) -> tuple[np.ndarray, ...]:
    draw = np.random.default_rng(seed)
    label = draw.integers(0, classes, n)
    before = np.where(draw.random(n) < 0.85, label, draw.integers(0, classes, n))
    return label, before, np.where(draw.random(n) < changed, draw.integers(0, classes, n), before)


def oracle(name: str, label: np.ndarray, pred: np.ndarray, classes: int) -> float:
    sklearn = pytest.importorskip("sklearn.metrics")
    if name == "matthews":
        return float(sklearn.matthews_corrcoef(label, pred))
    average = "binary" if classes == 2 else "macro"
    return float(sklearn.f1_score(label, pred, average=average, zero_division=0))


@pytest.mark.parametrize("classes", [2, 3, 6])
@pytest.mark.parametrize("name", ["f1", "matthews"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_the_interval_is_that_of_scikit_learn_on_resampled_examples(name: str, classes: int) -> None:
    label, before, after = three_arms(400, classes)
    found = paired_counts(label, before, after, classes, METRICS[name])
    assert found.difference == pytest.approx(
        oracle(name, label, after, classes) - oracle(name, label, before, classes), abs=1e-12
    )
    draw = np.random.default_rng(9)
    differences = []
    for rows in draw.integers(0, 400, size=(600, 400)):
        arms = (oracle(name, label[rows], pred[rows], classes) for pred in (after, before))
        differences.append(next(arms) - next(arms))
    # 600 resamples place a quantile within about a tenth of the standard deviation.
    assert found.interval == pytest.approx(np.quantile(differences, [0.025, 0.975]), abs=0.25 * np.std(differences))


def test_all_resamples_of_a_tiny_sample_give_the_same_quantiles() -> None:
    """Four examples have 256 resamples: the distribution is known exactly."""
    label, before, after = np.array([1, 1, 0, 0]), np.array([1, 1, 0, 1]), np.array([1, 0, 0, 0])
    every = []
    for rows in map(list, product(range(4), repeat=4)):
        arms = [f1_of(marginals(label[rows], pred[rows], 2)) for pred in (before, after)]
        every.append(float(arms[1] - arms[0]))
    low, high = np.quantile(every, [0.1, 0.9])
    found = paired_counts(label, before, after, 2, f1_of, level=0.8, resamples=20_000)
    assert found.interval == pytest.approx((low, high), abs=1e-9)


def test_the_randomisation_p_is_the_share_of_all_exchanges() -> None:
    label, before, after = three_arms(300, 2, changed=0.05, seed=4)
    different = np.flatnonzero(before != after)
    assert 4 <= len(different) <= 10
    seen = abs(paired_counts(label, before, after, 2, f1_of).difference)
    as_far = []
    for coins in product([False, True], repeat=len(different)):
        one, other = before.copy(), after.copy()
        swap = different[list(coins)]
        one[swap], other[swap] = after[swap], before[swap]
        as_far.append(abs(float(f1_of(marginals(label, other, 2)) - f1_of(marginals(label, one, 2)))) >= seen - 1e-12)
    assert paired_counts(label, before, after, 2, f1_of).p_randomised == pytest.approx(np.mean(as_far), abs=0.02)


def test_groups_are_resampled_whole() -> None:
    """Ten copies of each example are ten times the examples and no more evidence."""
    label, before, after = three_arms(300, 2)
    alone = paired_counts(label, before, after, 2, f1_of)
    copies = [np.repeat(row, 10) for row in (label, before, after)]
    grouped = paired_counts(*copies, 2, f1_of, groups=np.repeat(np.arange(300), 10))
    careless = paired_counts(*copies, 2, f1_of)
    width = np.diff(alone.interval)
    assert np.diff(grouped.interval) == pytest.approx(width, rel=0.03)
    assert np.diff(careless.interval) < 0.5 * width
    assert grouped.p_randomised == pytest.approx(alone.p_randomised, abs=0.03)


@pytest.mark.parametrize(("flips", "refused"), [(0, True), (19, True), (20, False)])
def test_twenty_discordant_examples_are_needed(flips: int, refused: bool) -> None:
    label = np.arange(400) % 2
    after = label.copy()
    after[:flips] = 1 - after[:flips]
    found = paired_counts(label, label, after, 2, f1_of)
    assert found.discordant == flips
    assert (found.refusal is not None) is refused
    if refused:
        assert str(flips) in str(found.refusal)
        assert str(MINIMUM_DISCORDANT) in str(found.refusal)


@pytest.mark.parametrize(("groups", "refused"), [(29, True), (30, False)])
def test_thirty_groups_are_needed(groups: int, refused: bool) -> None:
    label, before, after = three_arms(900, 2)
    found = paired_counts(label, before, after, 2, f1_of, groups=np.arange(900) % groups)
    assert (found.refusal is not None) is refused


@pytest.mark.parametrize("name", ["f1", "matthews"])
def test_a_harm_at_the_margin_is_rarely_called_non_inferior(name: str) -> None:
    """Promised 2.5 %. The margin is the true difference; 40 discordant examples are expected in each of 400 draws."""
    metric: CountMetric = METRICS[name]
    cells = np.array([0.42, 0.03, 0.02, 0.03, 0.03, 0.02, 0.03, 0.42]).reshape(2, 2, 2)  # label, before, after
    cells[1, 1, 0], cells[1, 1, 1] = 0.05, 0.40
    cells /= cells.sum()
    big = (cells * 1_000_000).round().astype(int)
    rows = np.repeat(np.indices((2, 2, 2)).reshape(3, -1), big.ravel(), axis=1)
    margin = -paired_counts(*rows, 2, metric, resamples=1).difference
    draw, passed = np.random.default_rng(3), 0
    for seed in range(400):
        sample = rows[:, draw.integers(0, rows.shape[1], 400)]
        found = paired_counts(*sample, 2, metric, seed=seed, resamples=1_000)
        passed += found.refusal is None and found.interval[0] > -margin
    assert margin > 0.01
    assert passed / 400 <= 0.035 + 2 * 0.008


def test_one_arm_has_an_interval_that_covers() -> None:
    """For F1 of class 1 in large samples the delta method is the oracle."""
    label, pred, _ = three_arms(20_000, 2)
    low, high = count_interval(label, pred, 2, f1_of)
    value = float(f1_of(marginals(label, pred, 2)))
    halves = [float(f1_of(marginals(label[k::20], pred[k::20], 2))) for k in range(20)]
    half = norm.ppf(0.975) * np.std(halves, ddof=1) / np.sqrt(20)
    assert (low + high) / 2 == pytest.approx(value, abs=0.1 * half)
    assert (high - low) / 2 == pytest.approx(half, rel=0.4)  # the oracle's own spread of 20 parts is 16 %


def test_the_same_seed_gives_the_same_numbers() -> None:
    arms = three_arms(500, 3)
    assert paired_counts(*arms, 3, f1_of, seed=1) == paired_counts(*arms, 3, f1_of, seed=1)
    assert paired_counts(*arms, 3, f1_of, seed=1) != paired_counts(*arms, 3, f1_of, seed=2)


@pytest.mark.parametrize("rows", [([], [], []), ([0, 1], [0], [0, 1]), ([[0]], [[0]], [[0]])])
def test_what_does_not_fit_together_is_refused(rows: tuple[list[int], ...]) -> None:
    with pytest.raises(ValueError, match="three equal rows"):
        paired_counts(*rows, 2, f1_of)
