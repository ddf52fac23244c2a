"""What is kept of a run besides its log: a handful of numbers and a thinned curve."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from gelu_patch.reporting.schema import CurvePoint, SeedRun
from gelu_patch.training.log import StepRecord
from gelu_patch.training.recipe import Recipe

CURVE_POINTS = 400
# One batch is noise: the final loss is the mean of the last steps.
FINAL_STEPS = 50


def summarise(recipe: Recipe, records: Sequence[StepRecord], scores: Sequence[float], *, diverged: bool) -> SeedRun:
    """Return the summary of one run; ``scores`` is the validation metric at the end of each epoch.

    ``final_loss`` is the mean of the last 50 finite losses, ``loss_auc`` the mean height of the loss curve,
    ``seconds`` the time of the steps alone, without validation. Figures without a finite step are None.
    """
    losses = [record.loss for record in records if record.is_finite]
    norms = [record.grad_norm for record in records if record.is_finite]
    return SeedRun(
        seed=recipe.seed,
        steps=len(records),
        epochs=records[-1].epoch if records else 0.0,
        seconds=round(sum(record.seconds for record in records), 3),
        best=max(scores, default=None),
        last=scores[-1] if scores else None,
        final_loss=float(np.mean(losses[-FINAL_STEPS:])) if losses else None,
        diverged=diverged,
        nan_steps=len(records) - len(losses),
        loss_auc=float(np.mean([(a + b) / 2 for a, b in pairwise(losses)])) if len(losses) > 1 else None,
        grad_norm_p99=float(np.percentile(norms, 99)) if norms else None,
        curve=[_curve_point(record) for record in thin(records)],
    )


def thin(records: Sequence[StepRecord], points: int = CURVE_POINTS) -> list[StepRecord]:
    """Return at most ``points`` records, evenly spaced, the first and the last among them."""
    if len(records) <= points:
        return list(records)
    return [records[i] for i in np.linspace(0, len(records) - 1, points).round().astype(int)]


def _curve_point(record: StepRecord) -> CurvePoint:
    finite = record.is_finite
    return CurvePoint(
        step=record.step,
        loss=record.loss if finite else None,
        grad_norm=record.grad_norm if finite else None,
        learning_rate=record.learning_rate,
    )
