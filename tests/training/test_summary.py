"""The summary is made of the steps that happened."""

from __future__ import annotations

import math

import pytest

from gelu_patch.training.log import StepRecord
from gelu_patch.training.summary import CURVE_POINTS, summarise, thin

from .toy import recipe


def steps(*losses: float) -> list[StepRecord]:
    return [
        StepRecord(seed=2, step=i, epoch=i / 4, loss=loss, grad_norm=i, learning_rate=0.1, seconds=0.1)
        for i, loss in enumerate(losses, start=1)
    ]


def test_figures() -> None:
    found = summarise(recipe(seed=2), steps(4.0, math.nan, 2.0, 1.0), [0.7, 0.9, 0.8], diverged=False)
    assert (found.seed, found.steps, found.epochs, found.seconds) == (2, 4, 1.0, 0.4)
    assert (found.best, found.last, found.nan_steps, found.diverged) == (0.9, 0.8, 1, False)
    assert found.final_loss == pytest.approx(7 / 3)
    assert found.loss_auc == pytest.approx((3.0 + 1.5) / 2)
    assert [point.loss for point in found.curve] == [4.0, None, 2.0, 1.0]
    assert found.steps_to_target is None


def test_final_loss_is_the_mean_of_the_last_fifty() -> None:
    assert summarise(recipe(seed=0), steps(*[9.0] * 10, *[1.0] * 50), [], diverged=False).final_loss == 1.0


def test_a_run_without_a_finite_step() -> None:
    found = summarise(recipe(seed=0), steps(math.nan, math.inf), [], diverged=True)
    assert (found.final_loss, found.loss_auc, found.grad_norm_p99, found.best, found.last) == (None,) * 5
    assert found.nan_steps == 2
    assert "NaN" not in found.model_dump_json()


def test_thinning_keeps_the_ends() -> None:
    kept = thin(steps(*[1.0] * 1003))
    assert len(kept) == CURVE_POINTS
    assert (kept[0].step, kept[-1].step) == (1, 1003)
    assert len({record.step for record in kept}) == CURVE_POINTS
    assert thin(steps(1.0, 2.0)) == steps(1.0, 2.0)
