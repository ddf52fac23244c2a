from __future__ import annotations

import numpy as np
import pytest

from gelu_patch.stats.paired import Z_95, tango_score
from gelu_patch.stats.power import needed_n, power


@pytest.mark.parametrize(
    ("flip_rate", "margin", "n"),
    [
        (0.002, 0.005, 1_280), (0.002, 0.01, 575), (0.002, 0.02, 189), (0.005, 0.01, 730), (0.01, 0.01, 1_050),
        (0.01, 0.02, 370), (0.02, 0.005, 6_560), (0.02, 0.01, 1_750), (0.05, 0.01, 4_080), (0.1, 0.005, 31_500),
    ],
)  # fmt: skip
def test_needed_n_reproduces_the_enumerated_table(flip_rate: float, margin: float, n: int) -> None:
    assert needed_n(flip_rate, margin) == pytest.approx(n, rel=0.04)


def test_power_is_the_share_of_simulated_passes() -> None:
    n, flip_rate, margin = 872, 0.01, 0.01
    counts = np.random.default_rng(0).multinomial(n, [flip_rate / 2, flip_rate / 2, 1 - flip_rate], size=40_000)
    passes = tango_score(counts[:, 0].astype(float), counts[:, 1].astype(float), n, -margin) > Z_95
    assert power(n, flip_rate, margin) == pytest.approx(passes.mean(), abs=0.01)


def test_sst2_size_suffices_for_rare_flips() -> None:
    assert power(872, 0.002, 0.01) >= 0.9


def test_the_answer_has_the_power_it_promises() -> None:
    assert power(needed_n(0.02, 0.02), 0.02, 0.02) >= 0.8


def test_without_flips_the_minimum_is_enough() -> None:
    assert needed_n(0.0, 0.01) == 381
