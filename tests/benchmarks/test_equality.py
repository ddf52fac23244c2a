"""What the equality script computes from loss curves, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.equality import held_against_spread

# Three seeds one apart: at every step their standard deviation is 1, and the bar 0.05.
STOCK = np.array([[1.0, 2.0, 3.0, 4.0]] * 3) + np.array([[0.0], [1.0], [2.0]])


@pytest.mark.parametrize(("off", "largest", "mean"), [(0.049, True, True), (0.06, False, True), (1.0, False, False)])
def test_one_step_of_one_seed_that_is_off(off, largest, mean):
    patched = STOCK.copy()
    patched[1, 2] += off
    found = held_against_spread(STOCK, patched, window=1)
    assert found["seed_spread"] == pytest.approx(1.0)
    assert found["bar"] == pytest.approx(0.05)
    assert found["largest_difference"] == pytest.approx(off)
    assert found["mean_difference"] == pytest.approx(off / 12)
    assert found["largest_difference_per_seed"] == pytest.approx([0, off, 0])
    assert (found["largest_below_bar"], found["mean_below_bar"]) == (largest, mean)


def test_means_over_a_window():
    patched = STOCK.copy()
    patched[0] += np.array([0.2, -0.2, 0.2, -0.2])
    found = held_against_spread(STOCK, patched, window=2)
    assert found["largest_difference"] == pytest.approx(0.0)
    assert found["seed_spread"] == pytest.approx(1.0)
