"""What is kept of a run besides its log: a handful of numbers and a thinned curve."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from gelu_patch.reporting.schema import CurvePoint, GroupNorms, SeedRun, SiteActivations
from gelu_patch.training.log import StepRecord
from gelu_patch.training.recipe import Recipe

CURVE_POINTS = 400
# A loss is called reached when the mean of so many steps is there.
TARGET_STEPS = 10
# One batch is noise: the final loss is the mean of the last steps.
FINAL_STEPS = 50


def summarise(
    recipe: Recipe,
    records: Sequence[StepRecord],
    scores: Sequence[float],
    *,
    diverged: bool,
    last_checkpoint: int | None = None,
) -> SeedRun:
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
        last_checkpoint=last_checkpoint,
        target_loss=recipe.target_loss,
        steps_to_target=_steps_to(recipe.target_loss, records),
        grad_norms=_group_norms(records),
        activations=_activations(records),
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


def _steps_to(target: float | None, records: Sequence[StepRecord]) -> int | None:
    if target is None:
        return None
    finite = [record for record in records if record.is_finite]
    for end in range(TARGET_STEPS, len(finite) + 1):
        if np.mean([record.loss for record in finite[end - TARGET_STEPS : end]]) <= target:
            return finite[end - 1].step
    return None


def _group_norms(records: Sequence[StepRecord]) -> list[GroupNorms]:
    finite = [record.grad_norms for record in records if record.is_finite]
    found = {group: [norms[group] for norms in finite if group in norms] for group in (finite[0] if finite else ())}
    return [
        GroupNorms(
            group=group,
            median=float(np.median(norms)),
            p99=float(np.percentile(norms, 99)),
            largest=max(norms),
        )
        for group, norms in found.items()
    ]


def _activations(records: Sequence[StepRecord]) -> list[SiteActivations]:
    looked = [record.activations for record in records if record.activations]
    return [_site(site, [seen[site] for seen in looked if site in seen]) for site in (looked[0] if looked else ())]


def _site(site: str, seen: Sequence[Mapping[str, float]]) -> SiteActivations:
    ends = {
        f"{end}_{name}": value if math.isfinite(value) else None
        for end, at in (("first", seen[0]), ("last", seen[-1]))
        for name, value in at.items()
    }
    return SiteActivations(site=site, steps=len(seen), most_dead=max(each["dead"] for each in seen), **ends)
