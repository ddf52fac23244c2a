from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from gelu_patch.stats.single import wilson_interval


@given(st.integers(1, 2_000), st.data())
def test_wilson_is_scipys_wilson(n: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, n))
    oracle = binomtest(successes, n).proportion_ci(method="wilson")
    assert wilson_interval(successes, n) == pytest.approx((oracle.low, oracle.high), abs=1e-9)


def test_the_edges_are_exact() -> None:
    assert wilson_interval(0, 10)[0] == 0.0
    assert wilson_interval(10, 10)[1] == 1.0


@pytest.mark.parametrize("counts", [(1, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(counts: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="successes"):
        wilson_interval(*counts)
