"""Tango's interval against published values, a closed form, an independent oracle, and the truth it promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar

from gelu_patch.stats.paired import Z_95, mcnemar_p, minimum_n, tango_interval, tango_score


@pytest.mark.parametrize(
    ("b", "c", "n", "expected"),
    [(7, 1, 21, (-0.517232, -0.026003)), (2, 1, 872, (-0.007291, 0.004361)), (2, 2, 277, (-0.019543, 0.019543))],
)
def test_reference_values(b: int, c: int, n: int, expected: tuple[float, float]) -> None:
    assert tango_interval(b, c, n) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("n", [1, 21, 380, 381, 100_000])
def test_without_flips_the_interval_has_a_closed_form(n: int) -> None:
    half = Z_95**2 / (n + Z_95**2)
    assert tango_interval(0, 0, n) == pytest.approx((-half, half), abs=1e-9)


def oracle_lower(b: int, c: int, n: int) -> float:
    """The lower limit with the constrained likelihood maximised numerically, sharing no formula with the code."""

    def score(difference: float) -> float:
        def minus_log_likelihood(p_b: float) -> float:
            cells = np.array([p_b, p_b + difference, 1 - 2 * p_b - difference])
            counts = np.array([b, c, n - b - c])
            return -float(np.sum(counts[counts > 0] * np.log(np.maximum(cells[counts > 0], 1e-300))))

        low, high = max(0.0, -difference), (1 - difference) / 2
        p_b = minimize_scalar(minus_log_likelihood, bounds=(low, high), options={"xatol": 1e-12}).x
        variance = (2 * p_b + difference - difference**2) / n
        return float(((c - b) / n - difference) / np.sqrt(variance))

    return float(brentq(lambda difference: score(difference) - Z_95, -1 + 1e-6, (c - b) / n - 1e-9))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 300))
def test_agrees_with_the_numerical_likelihood(b: int, c: int, rest: int) -> None:
    n = b + c + rest
    assert tango_interval(b, c, n)[0] == pytest.approx(oracle_lower(b, c, n), abs=2e-5)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 500))
def test_swapping_the_arms_mirrors_the_interval(b: int, c: int, rest: int) -> None:
    low, high = tango_interval(b, c, b + c + rest)
    assert tango_interval(c, b, b + c + rest) == pytest.approx((-high, -low), abs=1e-9)
    assert -1 <= low <= (c - b) / (b + c + rest) <= high <= 1


def test_extreme_counts_stay_inside_minus_one_and_one() -> None:
    assert tango_interval(5, 0, 5)[0] == -1
    assert tango_interval(0, 5, 5)[1] == 1


@pytest.mark.parametrize("counts", [(-1, 0, 5), (3, 3, 5), (0, 0, 0)])
def test_impossible_counts_are_refused(counts: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="b \\+ c <= n"):
        tango_interval(*counts)


@pytest.mark.parametrize(("n", "extra"), [(872, 0.0), (872, 0.02), (2000, 0.0)])
def test_a_harm_at_the_margin_is_rarely_called_non_inferior(n: int, extra: float) -> None:
    """Promised 2.5 %; Wald reaches 6.7 % and percentile bootstrap 6.2 % in the first of these cells."""
    margin, draws = 0.01, 40_000
    cells = [margin + extra / 2, extra / 2, 1 - margin - extra]
    counts = np.random.default_rng(0).multinomial(n, cells, size=draws)
    b, c = counts[:, 0].astype(float), counts[:, 1].astype(float)
    false_passes = float((tango_score(b, c, n, -margin) > Z_95).mean())
    assert false_passes <= 0.029
    wald = (c - b) / n - Z_95 * np.sqrt(b + c - (c - b) ** 2 / n) / n
    assert float((wald > -margin).mean()) > false_passes


def test_mcnemar_is_the_exact_binomial_test() -> None:
    assert mcnemar_p(2, 1) == 1.0
    assert mcnemar_p(0, 0) == 1.0
    assert mcnemar_p(9, 1) == pytest.approx(22 / 1024)


@pytest.mark.parametrize(("margin", "n"), [(0.001, 3838), (0.0025, 1533), (0.005, 765), (0.01, 381), (0.02, 189)])
def test_minimum_n_is_the_first_that_passes_without_flips(margin: float, n: int) -> None:
    assert minimum_n(margin) == n
    assert tango_interval(0, 0, n)[0] > -margin > tango_interval(0, 0, n - 1)[0]
