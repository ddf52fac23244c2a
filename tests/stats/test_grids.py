"""The two grids of the specification: a harm that lies exactly at the margin, and how often it is called harmless.

Promised are 2.5 %, allowed 3.5 % and the simulation error. A refusal ("too few examples", "rests on too few
examples") is not a pass, so it counts for honesty, and against power.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from gelu_patch.stats import bootstrap, paired
from gelu_patch.stats.bootstrap import MINIMUM_EFFECTIVE_COUNT, t_quantiles, t_statistics
from gelu_patch.stats.paired import minimum_n

ALLOWED = 0.035
DRAWS = 20_000

SIZES = (100, 277, 872, 2_000, 9_815)
MARGINS = (0.0025, 0.005, 0.01, 0.02, 0.05)
EXTRA = (0.0, 0.002, 0.01, 0.02, 0.05, 0.10)


def standard_error(share: float, draws: int) -> float:
    return float(np.sqrt(share * (1 - share) / draws))


def passes(n: int, margin: float, lost: float, gained: float, *, refuse: bool) -> float:
    """The share of ``DRAWS`` data sets that are called non-inferior."""
    draw = np.random.default_rng([n, int(1e5 * margin), int(1e5 * lost)])
    counts = draw.multinomial(n, [lost, gained, 1 - lost - gained], size=DRAWS)
    cells, seen = np.unique(counts[:, :2], axis=0, return_counts=True)
    passed = paired.tango_lower(cells[:, 0], cells[:, 1], n) > -margin
    if refuse and n < minimum_n(margin):
        passed[:] = False
    return float(seen @ passed / DRAWS)


@pytest.mark.parametrize("extra", EXTRA)
@pytest.mark.parametrize("n", SIZES)
def test_accuracy_at_the_margin(n: int, extra: float) -> None:
    for margin in MARGINS:
        lost, gained = margin + extra / 2, extra / 2
        for refuse in (True, False):  # Tango keeps the promise by itself, the refusals only add to it
            false = passes(n, margin, lost, gained, refuse=refuse)
            assert false <= ALLOWED + 2 * standard_error(ALLOWED, DRAWS), (margin, refuse)


@pytest.mark.parametrize(("rate", "power"), [(0.0, 1.0), (0.002, 0.97), (0.01, 0.70)])
def test_the_power_of_872_examples_at_one_point(rate: float, power: float) -> None:
    found = passes(872, 0.01, rate / 2, rate / 2, refuse=True)
    assert found == pytest.approx(power, abs=0.015)
    assert rate > 0.002 or found >= 0.9


@dataclass(frozen=True)
class LossCell:
    """Harm of exponential size in a share of examples, with symmetric noise in all of them."""

    n: int
    share: float
    noise: float = 0.0
    spread: str = "exponential"


LOSS_CELLS = [
    *(LossCell(n, share) for n in (300, 872, 3_000) for share in (0.01, 0.05, 0.2, 1.0)),
    LossCell(872, 0.05, noise=0.02),
    LossCell(872, 0.05, noise=0.2),
    LossCell(872, 0.05, spread="constant"),
]
LOSS_DRAWS, RESAMPLES, MARGIN = 3_000, 1_000, 0.005


def losses(cell: LossCell) -> np.ndarray:
    """Paired differences ``(LOSS_DRAWS, n)`` whose mean is exactly ``-MARGIN``; worse is negative."""
    draw, shape = np.random.default_rng([cell.n, int(1e4 * cell.share)]), (LOSS_DRAWS, cell.n)
    size = draw.exponential(size=shape) if cell.spread == "exponential" else np.ones(shape)
    harm = np.where(draw.random(shape) < cell.share, -MARGIN / cell.share * size, 0.0)
    return harm + cell.noise * draw.normal(size=shape) * MARGIN / cell.share if cell.noise else harm


def lower_limits(d: np.ndarray) -> np.ndarray:
    """``studentised_mean`` of every row at once: weights shared by all rows turn resampling into one product."""
    n = d.shape[1]
    picks = np.random.default_rng(0).integers(0, n, size=(RESAMPLES, n), dtype=np.int32)
    weights = np.zeros((RESAMPLES, n), np.float32)
    np.add.at(weights, (np.arange(RESAMPLES)[:, None], picks), 1 / n)
    mean, spread = d.mean(axis=1, keepdims=True), d.std(axis=1, ddof=1, keepdims=True)
    unit = (d - mean) / np.where(spread == 0, 1, spread)
    centre = unit.astype(np.float32) @ weights.T
    square = np.square(unit).astype(np.float32) @ weights.T
    high = t_quantiles(t_statistics(centre.astype(float), square.astype(float), n), 0.95)[1]
    equal = spread[:, 0] == 0  # every t* of such a row is infinite; its interval is its mean
    return np.where(equal, mean[:, 0], mean[:, 0] - np.where(equal, 0, high) * spread[:, 0] / np.sqrt(n))


@pytest.mark.parametrize("cell", LOSS_CELLS, ids=str)
def test_loss_at_the_margin(cell: LossCell) -> None:
    d = losses(cell)
    passed = lower_limits(d) > -MARGIN
    refused = np.array([bootstrap.effective_count(row) for row in d]) < MINIMUM_EFFECTIVE_COUNT
    assert np.mean(passed & ~refused) <= ALLOWED + 2 * standard_error(ALLOWED, LOSS_DRAWS)
    if cell.n * cell.share < 5:
        assert np.mean(refused) > 0.9
        assert np.mean(passed) > ALLOWED, "samples without a harmed example would have passed"


def test_the_grid_computes_what_the_product_computes() -> None:
    rows = losses(LossCell(300, 0.2))[:40]
    grid = lower_limits(rows)
    for row, limit in zip(rows, grid, strict=True):
        found = bootstrap.studentised_mean(row, resamples=RESAMPLES)
        assert found.interval is not None
        assert limit == pytest.approx(found.interval[0], rel=1e-4)
