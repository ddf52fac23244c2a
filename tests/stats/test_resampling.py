"""The paired bootstrap of any metric of labels and predictions."""

from __future__ import annotations

import numpy as np
import pytest

from gelu_patch.stats.resampling import paired_percentile


def accuracy(label: np.ndarray, pred: np.ndarray) -> float:
    return float((label == pred).mean())


def test_it_covers_the_difference_as_often_as_it_promises() -> None:
    draw = np.random.default_rng(0)
    hits, n = 0, 400
    label = np.zeros(n, np.int64)
    for trial in range(120):
        before = (draw.random(n) < 0.2).astype(np.int64)
        after = np.where(draw.random(n) < 0.15, 1 - before, before)
        truth = (0.2 * 0.15) - (0.8 * 0.15)
        low, high = paired_percentile(accuracy, label, before, after, resamples=200, seed=trial).interval
        hits += low <= truth <= high
    assert 0.90 <= hits / 120 <= 0.99  # 95 % promised; 120 trials have an SE of 2 %


def test_groups_are_drawn_whole() -> None:
    label = np.zeros(400, np.int64)
    before, after = np.zeros(400, np.int64), np.zeros(400, np.int64)
    after[:40] = 1  # all in one of ten groups
    groups = np.repeat(np.arange(10), 40)
    alone = paired_percentile(accuracy, label, before, after).interval
    together = paired_percentile(accuracy, label, before, after, groups=groups).interval
    assert together[1] - together[0] > 3 * (alone[1] - alone[0])


def test_unequal_rows_and_few_differences() -> None:
    label = np.zeros(50, np.int64)
    with pytest.raises(ValueError, match="equal rows"):
        paired_percentile(accuracy, label, label, label[:-1])
    assert paired_percentile(accuracy, label, label, label).interval is None
