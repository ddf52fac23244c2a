"""Forest plots: the arms' accuracy, and the paired differences with their margins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gelu_patch.reporting.rendering.plots.canvas import (
    COLOURS,
    Plot,
    draw,
    mark_interval,
    name_rows,
    rows_height,
    series_colour,
)
from gelu_patch.reporting.rendering.tables import Table
from gelu_patch.reporting.schema import Arm, Comparison, Quality, Result
from gelu_patch.reporting.wording import MISSING, label_of, shown, unit_of, value_text

_ABREAST = 2  # panels side by side that leave room for their axes
_STATE_COLOURS = {"SUPERIOR": "good", "NON_INFERIOR": "good", "EQUIVALENT": "good", "INFERIOR": "bad"}


def accuracy_plot(arms: Sequence[Arm]) -> Plot | None:
    """Return accuracy with its interval, one row per arm, in per cent; None when no arm has it."""
    found = [(arm.name, metric, i) for i, arm in enumerate(arms) if (metric := _accuracy(arm))]
    if not found:
        return None
    rows = [(name, value_text("accuracy", q.value), _range_text(q), f"{q.n:,}") for name, q, _ in found]
    table = Table("Accuracy", ("arm", "accuracy", "95 % CI", "examples"), rows)

    def paint(figure: Any) -> None:
        axes = figure.subplots()
        for row, (_, quality, position) in enumerate(found):
            interval = quality.ci and (100 * quality.ci[0], 100 * quality.ci[1])
            mark_interval(axes, row, 100 * quality.value, interval, series_colour(position))
        name_rows(axes, [name for name, _, _ in found])
        axes.set_xlabel("accuracy (%), each arm alone, 95 % interval")

    alt = "Accuracy of each arm with its 95 % interval: " + "; ".join(f"{r[0]} {r[1]} {r[2]}" for r in rows)
    return draw(paint, height=rows_height(len(rows)), alt=alt, table=table)


def _accuracy(arm: Arm) -> Quality | None:
    return next((quality for quality in arm.quality if quality.metric == "accuracy"), None)


def _range_text(quality: Quality) -> str:
    return f"[{100 * quality.ci[0]:.2f}, {100 * quality.ci[1]:.2f}]" if quality.ci else MISSING


def difference_plot(comparisons: Sequence[Comparison], names: Sequence[str]) -> Plot | None:
    """Return the paired differences, one panel per metric and one row per comparison; None without results.

    ``names`` are those of the candidates, one per comparison.
    """
    metrics = list(dict.fromkeys(result.metric for comparison in comparisons for result in comparison.results))
    if not metrics:
        return None
    lines = -(-len(metrics) // _ABREAST)
    rows = []
    for name, comparison in zip(names, comparisons, strict=True):
        for result in comparison.results:
            text = shown(result)
            rows.append((name, text.label, text.difference, text.interval, text.margin, text.state))
    header = ("candidate", "metric", "difference", "95 % CI", "margin", "result")

    def paint(figure: Any) -> None:
        panels = figure.subplots(lines, min(len(metrics), _ABREAST), sharey=True, squeeze=False)
        for axes, metric in zip(panels.flat, metrics, strict=False):
            _difference_panel(axes, metric, comparisons)
            axes.tick_params(axis="y", length=0)
            axes.grid(visible=False, axis="y")
            axes.spines["left"].set_visible(False)
        for axes in panels[:, 0]:
            name_rows(axes, names)
        for axes in panels.flat[len(metrics) :]:
            axes.set_visible(False)

    alt = "Paired differences with 95 % intervals: " + "; ".join(
        f"{r[0]}, {r[1]}: {r[2]} {r[3]}, margin {r[4]}, {r[5]}" for r in rows
    )
    height = lines * rows_height(len(comparisons), rest=1.05)
    return draw(paint, height=height, alt=alt, table=Table("Differences", header, rows))


def _difference_panel(axes: Any, metric: str, comparisons: Sequence[Comparison]) -> None:
    points = unit_of(metric) == "pp"
    scale = 100 if points else 1
    drawn: list[tuple[int, Result]] = [
        (row, result)
        for row, comparison in enumerate(comparisons)
        for result in comparison.results
        if result.metric == metric
    ]
    sign = 1 if drawn[0][1].higher_is_better else -1
    margins = {scale * sign * result.margin for _, result in drawn}
    axes.axvline(0, color=COLOURS["muted"], linewidth=1)
    for margin in margins:
        axes.axvline(margin, color=COLOURS["bad"], linewidth=1, linestyle=(0, (4, 3)))
    for row, result in drawn:
        value = scale * sign * result.diff
        low, high = result.ci or (0.0, 0.0)
        interval = (scale * low * sign, scale * high * sign) if result.ci else None
        mark_interval(axes, row, value, interval, COLOURS[_STATE_COLOURS.get(result.state, "muted")])
    # Whatever the data do, zero and the margin stay in sight, with room to see on which side the interval ends.
    reach = max(abs(margin) for margin in margins)
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, -1.6 * reach), max(high, 1.6 * reach))
    axes.set_title(label_of(metric))
    axes.set_xlabel(f"difference ({'pp' if points else 'nat'}), {'← worse' if sign > 0 else 'worse →'}")
    axes.locator_params(axis="x", nbins=6)
