"""What the plots draw is small, and says the same as what it was made from."""

from __future__ import annotations

import numpy as np
import pytest

from gelu_patch.reporting.series import histogram, medians, quantiles


def test_a_histogram_counts_every_number_once_and_zeros_apart() -> None:
    values = np.concatenate([np.zeros(7), 10 ** np.random.default_rng(0).uniform(-7, 1, 5000), [1e-12, 1e9, np.nan]])
    found = histogram(values)
    assert found.zeros == 8
    assert sum(found.counts) + found.zeros == len(values) - 1
    assert len(found.edges) == len(found.counts) + 1
    inside = values[(values > found.edges[3]) & (values <= found.edges[4])]
    assert found.counts[3] == len(inside)
    assert found.counts[0] > 0
    assert found.counts[-1] == 1


def test_two_histograms_have_edges_in_common() -> None:
    one, other = histogram([1e-6, 1e-5]), histogram([1e-5, 1.0])
    assert set(one.edges) & set(other.edges)


@pytest.mark.parametrize("values", [[], [0.0, 0.0]])
def test_nothing_to_draw(values: list[float]) -> None:
    assert histogram(values).counts == []
    assert histogram(values).zeros == len(values)


def test_quantiles_and_medians_are_few_and_right() -> None:
    values = list(np.random.default_rng(0).normal(size=1001))
    found = quantiles(values, 101)
    assert (found[0], found[50], found[-1]) == (min(values), pytest.approx(np.median(values)), max(values))
    assert len(quantiles(values)) == len(medians(values)) == 200
    assert quantiles([3.0]) == medians([3.0]) == [3.0]
    assert quantiles([]) == medians([]) == []
    assert medians([1, 2, 9, 5, 5, 5], 2) == [2.0, 5.0]
