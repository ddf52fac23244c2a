"""Loss and gradient norm of the arms, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gelu_patch.reporting.plots.canvas import Plot, clip, draw, series_colour
from gelu_patch.reporting.schema import Arm, CurvePoint
from gelu_patch.reporting.tables import Table
from gelu_patch.reporting.wording import MISSING

_SMOOTHING = 25  # a curve is smoothed over one 25th of its points


def training_plot(arms: Sequence[Arm]) -> Plot | None:
    """Return the training curves of every arm and seed, raw and smoothed; None when nothing was trained."""
    trained = [(i, arm) for i, arm in enumerate(arms) if arm.training and any(_curves(arm))]
    if not trained:
        return None
    quantities = [("loss", "training loss (nat)")]
    if any(point.grad_norm is not None for _, arm in trained for curve in _curves(arm) for point in curve):
        quantities.append(("grad_norm", "gradient norm"))

    def paint(figure: Any) -> None:
        panels = figure.subplots(1, len(quantities), squeeze=False)[0]
        for axes, (quantity, label) in zip(panels, quantities, strict=True):
            for position, arm in trained:
                # The baseline is drawn first and wide, so that an arm which trains identically cannot hide it.
                style = {"color": series_colour(position), "linewidth": 1.6 if position else 3.4}
                for seed, curve in enumerate(_curves(arm)):
                    _line(axes, curve, quantity, style | {"label": clip(arm.name) if seed == 0 else None})
            axes.set_title(label)
            axes.set_xlabel("optimizer step")
            axes.locator_params(axis="x", integer=True)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)

    table = _table(trained)
    alt = "Training loss by optimizer step. " + "; ".join(
        f"{row[0]} seed {row[1]}: final loss {row[3]}" for row in table.rows
    )
    return draw(paint, height=3.1, alt=alt, table=table)


def _curves(arm: Arm) -> list[list[CurvePoint]]:
    return [run.curve for run in arm.training.per_seed if run.curve] if arm.training else []


def _line(axes: Any, curve: Sequence[CurvePoint], quantity: str, style: Mapping[str, Any]) -> None:
    points = [(point.step, getattr(point, quantity)) for point in curve]
    steps = np.array([step for step, value in points if value is not None])
    values = np.array([value for _, value in points if value is not None])
    if not len(values):
        return
    window = len(values) // _SMOOTHING
    if window < 2:
        axes.plot(steps, values, **style)
        return
    axes.plot(steps, values, color=style["color"], linewidth=0.6, alpha=0.35)
    smooth = np.convolve(values, np.ones(window) / window, mode="valid")
    centres = np.convolve(steps, np.ones(window) / window, mode="valid")
    axes.plot(centres, smooth, **style)


def _table(trained: Sequence[tuple[int, Arm]]) -> Table:
    rows = []
    for _, arm in trained:
        for run in arm.training.per_seed if arm.training else []:
            rows.append(
                (
                    arm.name,
                    str(run.seed),
                    f"{run.steps:,}",
                    _number(run.final_loss),
                    _number(run.best),
                    _number(run.last),
                    "yes" if run.diverged else "no",
                )
            )
    metric = next((arm.training.metric for _, arm in trained if arm.training), None) or "metric"
    header = ("arm", "seed", "steps", "final loss", f"best {metric}", f"last {metric}", "diverged")
    return Table("Training", header, rows)


def _number(value: float | None) -> str:
    return MISSING if value is None else f"{value:.4f}"
