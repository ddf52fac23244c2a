"""The interval of a ratio of sums."""

from __future__ import annotations

import numpy as np
import pytest

from gelu_patch.stats.ratio import percentile_ratio


def test_it_covers_the_ratio_as_often_as_it_promises() -> None:
    draw = np.random.default_rng(0)
    hits = 0
    for trial in range(300):
        sizes = draw.integers(1, 50, 60).astype(float)
        losses = draw.normal(3.0, 0.5, 60) * sizes
        low, high = percentile_ratio(losses, sizes, seed=trial)
        hits += low <= 3.0 <= high
    # 95 % promised; the percentile bootstrap of 60 units covers a little less; 300 trials have an SE of 1.3 %.
    assert 0.90 <= hits / 300 <= 0.985


def test_by_hand_and_deterministic() -> None:
    assert percentile_ratio([2.0, 4.0, 6.0], [1.0, 2.0, 3.0]) == (2.0, 2.0)
    values = np.arange(1.0, 30.0), np.ones(29)
    assert percentile_ratio(*values) == percentile_ratio(*values)


@pytest.mark.parametrize("bad", [([], []), ([1.0], [0.0]), ([np.nan], [1.0]), ([1.0, 2.0], [1.0])])
def test_what_is_no_ratio(bad: tuple[list[float], list[float]]) -> None:
    with pytest.raises(ValueError, match="two equal rows"):
        percentile_ratio(*bad)
