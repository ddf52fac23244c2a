"""Intervals that go with Holm's test: they leave out zero exactly where it does."""

from __future__ import annotations

import numpy as np
import pytest

from gelu_patch.stats.multiplicity import holm, holm_levels
from gelu_patch.stats.seeds import seed_paired_t

FAMILIES = [[0.04], [0.01, 0.04], [0.03, 0.04], [0.2, 0.001, 0.012, 0.03], [0.5, 0.9], [0.0125, 0.0125, 0.5, 0.02], []]


@pytest.mark.parametrize("p_values", FAMILIES)
def test_a_level_rejects_where_the_adjusted_p_does(p_values):
    levels = holm_levels(p_values)
    assert [p <= level for p, level in zip(p_values, levels, strict=True)] == [p <= 0.05 for p in holm(p_values)]


def test_the_bounds_of_a_family():
    assert holm_levels([0.2, 0.001, 0.012, 0.03]) == pytest.approx([0.025, 0.0125, 0.05 / 3, 0.025])
    assert holm_levels([0.04]) == [0.05]


def draw(rng, effects, seeds=5):
    """Paired differences from a baseline whose own noise is in all of them, as it is in an ablation."""
    base = rng.normal(size=seeds)
    return [effect + rng.normal(size=seeds) - base for effect in effects]


def leave_out_zero(rows):
    found = [seed_paired_t(np.zeros(len(row)), row) for row in rows]
    levels = holm_levels([each.p_value for each in found])
    corrected = [
        seed_paired_t(np.zeros(len(row)), row, level=1 - level) for row, level in zip(rows, levels, strict=True)
    ]
    return [not each.interval[0] <= 0 <= each.interval[1] for each in corrected]


@pytest.mark.parametrize("effects", [(0, 0, 0, 0), (0, 0, 0, 9), (0, 0, -9, 9)])
def test_any_wrong_difference_is_as_rare_as_promised(effects):
    rng = np.random.default_rng(7)
    tries = 400
    wrong = sum(
        any(out for out, effect in zip(leave_out_zero(draw(rng, effects)), effects, strict=True) if effect == 0)
        for _ in range(tries)
    )
    assert wrong / tries < 0.05 + 3 * np.sqrt(0.05 * 0.95 / tries)
