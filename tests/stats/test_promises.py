"""What Tango's interval and the sample sizes promise, by plain enumeration of every outcome."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import multinomial

from gelu_patch.stats import paired
from gelu_patch.stats.paired import Z_95, Interval
from gelu_patch.stats.power import needed_n, power


def wald_interval(b: int, c: int, n: int) -> Interval:
    difference, half = (c - b) / n, Z_95 * math.sqrt(max(b + c - (b - c) ** 2 / n, 0)) / n
    return difference - half, difference + half


def false_non_inferior(method: str, n: int, margin: float, extra: float) -> float:
    """The exact probability of "non-inferior" when the truth lies at the margin; ``extra`` = symmetric flips."""
    interval = {"tango": paired.tango_interval, "wald": wald_interval}[method]
    lost, gained = margin + extra / 2, extra / 2
    b, c = np.indices((6 * math.ceil(n * lost), 6 * math.ceil(n * gained) + 1)).reshape(2, -1)
    weight = multinomial.pmf(np.stack([b, c, n - b - c], axis=1), n, [lost, gained, 1 - lost - gained])
    likely = weight > 1e-6
    counts = zip(b[likely].tolist(), c[likely].tolist(), weight[likely].tolist(), strict=True)
    return sum(w for i, j, w in counts if interval(i, j, n)[0] > -margin)


# Published from 4,000 draws, whose standard error is at most 0.003; the enumerated worst of all cells is 2.9 %.
@pytest.mark.parametrize(("n", "extra", "published"), [(277, 0.0, 0.0), (872, 0.0, 0.007), (872, 0.02, 0.027)])
def test_a_harmful_swap_rarely_passes(n: int, extra: float, published: float) -> None:
    false = false_non_inferior("tango", n, 0.01, extra)
    assert false <= 0.029
    assert false == pytest.approx(published, abs=0.006)


@pytest.mark.parametrize(("n", "published"), [(277, 0.069), (872, 0.067)])
def test_the_enumeration_can_tell_wald_from_tango(n: int, published: float) -> None:
    assert false_non_inferior("wald", n, 0.01, 0.0) == pytest.approx(published, abs=0.012)


def enumerated_power(n: int, flip_rate: float, margin: float) -> float:
    half = flip_rate / 2
    return sum(
        float(multinomial.pmf([b, c, n - b - c], n, [half, half, 1 - flip_rate]))
        for b in range(n + 1)
        for c in range(n + 1 - b)
        if paired.tango_interval(b, c, n)[0] > -margin
    )


@pytest.mark.parametrize(
    ("n", "flip_rate", "margin"),
    [(20, 0.02, 0.2), (20, 0.3, 0.2), (30, 0.0, 0.2), (30, 1e-4, 0.15), (25, 1.0, 0.4), (10, 0.1, 0.1)],
)
def test_power_is_the_plain_enumeration(n: int, flip_rate: float, margin: float) -> None:
    # Tails of probability below 1e-7 are left out on four sides.
    assert power(n, flip_rate, margin) == pytest.approx(enumerated_power(n, flip_rate, margin), abs=1e-6)


@pytest.mark.parametrize(("flip_rate", "published"), [(0.005, 0.47), (0.01, 0.65), (0.05, 0.79)])
def test_the_closed_form_promises_80_per_cent_and_has_less(flip_rate: float, published: float) -> None:
    closed_form = round((1.96 + 0.84) ** 2 * flip_rate / 0.01**2)
    assert power(closed_form, flip_rate, 0.01) == pytest.approx(published, abs=0.03)


@pytest.mark.parametrize(("n", "published"), [(0.002, 0.97), (0.01, 0.70)])
def test_power_of_872_examples(n: float, published: float) -> None:
    assert power(872, n, 0.01) == pytest.approx(published, abs=0.02)


@pytest.mark.parametrize(
    ("flip_rate", "row"), [(0.005, (2_100, 730, 283)), (0.01, (3_520, 1_050, 370)), (0.05, (15_800, 4_080, 1_060))]
)
def test_rows_of_the_table(flip_rate: float, row: tuple[int, int, int]) -> None:
    found = [needed_n(flip_rate, margin) for margin in (0.005, 0.01, 0.02)]
    assert found == pytest.approx(row, rel=0.03)  # the table holds the nearest grid point


def test_needed_n_is_where_the_power_crosses_its_target() -> None:
    n = needed_n(0.01, 0.01)
    assert power(int(0.9 * n), 0.01, 0.01) < 0.8 <= power(n, 0.01, 0.01)
    assert needed_n(0.01, 0.01, target=0.9) > n


def test_with_thousands_of_flips_the_closed_form_takes_over() -> None:
    assert needed_n(0.5, 0.005) == pytest.approx((1.959964 + 0.841621) ** 2 * 0.5 / 0.005**2, abs=2)


def test_wilson_as_published() -> None:
    from gelu_patch.stats.single import wilson_interval

    # R. G. Newcombe, Statistics in Medicine 17 (1998) 857-872, table I
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
