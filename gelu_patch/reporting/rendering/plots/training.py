"""Loss and gradient norm of the arms, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gelu_patch.reporting.rendering.plots.canvas import COLOURS, Plot, clip, draw, legend_below, series_colour
from gelu_patch.reporting.rendering.tables import Table
from gelu_patch.reporting.schema import Arm, CurvePoint
from gelu_patch.reporting.wording import MISSING

Numbers = NDArray[np.float64]

_SMOOTHING = 25  # a curve is smoothed over one 25th of its points
_MOST_LINES = 8  # more seeds than these, over all arms, are drawn as bands


def training_plot(arms: Sequence[Arm]) -> Plot | None:
    """Return the training curves of every arm, thin for each seed and thick for their mean; None without any.

    Where the seeds are many, a band from the lowest to the highest of them stands for the thin lines.
    """
    trained = [(i, arm) for i, arm in enumerate(arms) if arm.training and any(_curves(arm))]
    if not trained:
        return None
    banded = sum(len(_curves(arm)) for _, arm in trained) > _MOST_LINES
    quantities = [("loss", "training loss (nat)")]
    if any(point.grad_norm is not None for _, arm in trained for curve in _curves(arm) for point in curve):
        quantities.append(("grad_norm", "gradient norm"))

    def paint(figure: Any) -> None:
        panels = figure.subplots(1, len(quantities), squeeze=False)[0]
        for axes, (quantity, label) in zip(panels, quantities, strict=True):
            for position, arm in trained:
                # The baseline is drawn first and wide, so that an arm which trains identically cannot hide it.
                style = {"color": series_colour(position), "linewidth": 1.6 if position else 3.4}
                _arm(axes, _curves(arm), quantity, style | {"label": clip(arm.name)}, banded=banded)
            axes.set_title(label)
            axes.set_xlabel("optimizer step")
            axes.locator_params(axis="x", integer=True)
        legend_below(figure, panels)

    table = _table(trained)
    alt = "Training loss by optimizer step. " + "; ".join(
        f"{row[0]} seed {row[1]}: final loss {row[3]}" for row in table.rows
    )
    return draw(paint, height=3.1, alt=alt, table=table)


def _curves(arm: Arm) -> list[list[CurvePoint]]:
    return [run.curve for run in arm.training.per_seed if run.curve] if arm.training else []


def _arm(
    axes: Any, curves: Sequence[Sequence[CurvePoint]], quantity: str, style: Mapping[str, Any], *, banded: bool
) -> None:
    """Draw every seed thin and their mean thick; a single seed as it was recorded, and smoothed."""
    thin = {"color": style["color"], "linewidth": 0.6, "alpha": 0.4}
    recorded = [found for curve in curves if len((found := _points(curve, quantity))[0])]
    smooth = [_smoothed(*points) for points in recorded]
    if banded and len(smooth) > 1:
        steps, heights = _together(smooth)
        axes.fill_between(
            steps, heights.min(axis=0), heights.max(axis=0), color=style["color"], alpha=0.15, linewidth=0
        )
    else:
        for points in recorded if len(recorded) == 1 else smooth:
            axes.plot(*points, **thin)
    if recorded:
        steps, heights = _together(smooth)
        axes.plot(steps, heights.mean(axis=0), **style)


def _points(curve: Sequence[CurvePoint], quantity: str) -> tuple[Numbers, Numbers]:
    found = [(point.step, getattr(point, quantity)) for point in curve]
    known = [(step, value) for step, value in found if value is not None]
    return np.array([step for step, _ in known], float), np.array([value for _, value in known], float)


def _smoothed(steps: Numbers, values: Numbers) -> tuple[Numbers, Numbers]:
    window = max(len(values) // _SMOOTHING, 1)
    weights = np.ones(window) / window
    return np.convolve(steps, weights, mode="valid"), np.convolve(values, weights, mode="valid")


def _together(lines: Sequence[tuple[Numbers, Numbers]]) -> tuple[Numbers, Numbers]:
    """Return the steps that all lines have, and the height of each line there: ``(lines, steps)``."""
    longest = max(lines, key=lambda line: len(line[0]))[0]
    first, last = max(steps[0] for steps, _ in lines), min(steps[-1] for steps, _ in lines)
    common = longest[(longest >= first) & (longest <= last)]
    if not len(common):
        return lines[0][0], lines[0][1][None]
    return common, np.array([np.interp(common, *line) for line in lines])


def seeds_plot(arms: Sequence[Arm]) -> Plot | None:
    """Return the last validation metric of every seed, a line for each seed from arm to arm; None when fewer than two
    arms were trained with a metric."""
    found = [(i, last) for i, arm in enumerate(arms) if (last := _last(arm))]
    if len(found) < 2:
        return None
    names = [arms[i].name for i, _ in found]
    seeds = sorted({seed for _, values in found for seed in values})
    metric = next(arm.training.metric for arm in arms if arm.training and arm.training.metric)

    def paint(figure: Any) -> None:
        axes = figure.subplots()
        for seed in seeds:
            places = [i for i, (_, values) in enumerate(found) if seed in values]
            heights = [found[i][1][seed] for i in places]
            axes.plot(places, heights, color=COLOURS["muted"], linewidth=0.7, zorder=1)
            for place, height in zip(places, heights, strict=True):
                axes.plot([place], [height], "o", color=series_colour(found[place][0]), markersize=5, zorder=2)
        axes.set_xticks(range(len(names)), [clip(name, 22) for name in names])
        axes.set_xlim(-0.4, len(names) - 0.6)
        axes.tick_params(axis="x", length=0)
        axes.grid(visible=False, axis="x")
        axes.set_ylabel(f"last validation {metric}")

    rows = [(f"seed {seed}", *(_number(values.get(seed)) for _, values in found)) for seed in seeds]
    alt = f"Last validation {metric} of each seed: " + "; ".join(
        f"{row[0]}: " + ", ".join(f"{name} {cell}" for name, cell in zip(names, row[1:], strict=True)) for row in rows
    )
    return draw(paint, height=2.4, alt=alt, table=Table("Seeds", ("", *names), rows))


def _last(arm: Arm) -> dict[int, float]:
    runs = arm.training.per_seed if arm.training and arm.training.metric else []
    return {run.seed: run.last for run in runs if run.last is not None}


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
