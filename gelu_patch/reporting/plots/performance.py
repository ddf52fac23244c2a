"""Latency ratios, distributions of single times, and memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gelu_patch.reporting.plots.canvas import (
    COLOURS,
    Plot,
    clip,
    draw,
    mark_interval,
    name_rows,
    rows_height,
    series_colour,
)
from gelu_patch.reporting.schema import Arm, Comparison, Latency, LatencyResult
from gelu_patch.reporting.tables import Table
from gelu_patch.reporting.wording import binary_size, place_text, ratio_range, seconds, shape_text, words

_STATE_COLOURS = {"FASTER": "good", "SAME": "series-1", "NOT_SLOWER": "series-1", "SLOWER": "bad"}
_CURVE_POINTS = 200


def ratio_plot(comparisons: Sequence[Comparison], names: Sequence[str]) -> Plot | None:
    """Return candidate / baseline time with its interval, one row per comparison and shape; None if unmeasured.

    ``names`` are those of the candidates, one per comparison. Arms that share one measurement share its row, under
    the name of the first.
    """
    pairs = zip(names, comparisons, strict=True)
    measured: dict[object, tuple[str, LatencyResult]] = {}
    for name, comparison in pairs:
        for result in comparison.latency:
            measured.setdefault((result.phase, result.shape, result.ratio, result.ci), (name, result))
    found = list(measured.values())
    if not found:
        return None
    rows = [
        (f"{name}, {place_text(r.phase, r.shape)}", f"{r.ratio:.3f}", ratio_range(r.ci), words(r.state))
        for name, r in found
    ]

    def paint(figure: Any) -> None:
        axes = figure.subplots()
        axes.axvline(1, color=COLOURS["muted"], linewidth=1)
        for margin in {result.margin for _, result in found}:
            axes.axvline(1 + margin, color=COLOURS["bad"], linewidth=1, linestyle=(0, (4, 3)))
        for row, (_, result) in enumerate(found):
            if result.aa_control:  # the noise floor of the same session, behind the result
                axes.barh(row, np.ptp(result.aa_control.ci), left=result.aa_control.ci[0], height=0.5,
                          color=COLOURS["grid"])  # fmt: skip
            colour = COLOURS[_STATE_COLOURS.get(result.state, "muted")]
            mark_interval(axes, row, result.ratio, result.ci, colour)
        name_rows(axes, [f"{clip(name, 24)}, {place_text(r.phase, r.shape)}" for name, r in found])
        axes.set_xlabel("time of candidate / time of base (← faster); band: base against itself")

    alt = "Ratio of times, candidate over baseline: " + "; ".join(f"{r[0]}: {r[1]} {r[2]}, {r[3]}" for r in rows)
    table = Table("Latency ratios", ("candidate", "ratio", "95 % CI", "result"), rows)
    return draw(paint, height=rows_height(len(rows)), alt=alt, table=table)


def distribution_plot(arms: Sequence[Arm]) -> Plot | None:
    """Return the cumulative distribution of single times per shape; None when no arm kept its times.

    Arms that share one measurement share its curve, under the name of the first.
    """
    measured: dict[object, tuple[int, str, Latency]] = {}
    for position, arm in enumerate(arms):
        for entry in arm.latency:
            if entry.values:
                key = (entry.phase, entry.shape, tuple(entry.values))
                measured.setdefault(key, (position, arm.name, entry))
    kept = list(measured.values())
    if not kept:
        return None
    places = list(dict.fromkeys((entry.phase, entry.shape) for _, _, entry in kept))[:3]
    rows = [(name, place_text(e.phase, e.shape), seconds(e.p50), seconds(e.p90), seconds(e.p99)) for _, name, e in kept]

    def paint(figure: Any) -> None:
        panels = figure.subplots(1, len(places), sharey=True, squeeze=False)[0]
        for axes, place in zip(panels, places, strict=True):
            for position, name, entry in kept:
                if (entry.phase, entry.shape) == place:
                    _cumulative(axes, entry, series_colour(position), clip(name, 30))
            _bound(axes)
            axes.set_title(place_text(*place))
            axes.set_xlabel("time (ms)")
        panels[0].set_ylabel("share of runs that were faster")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)

    alt = "Distribution of times: " + "; ".join(f"{r[0]} {r[1]}: median {r[2]}, p99 {r[4]}" for r in rows)
    table = Table("Times", ("arm", "batch × tokens", "median", "p90", "p99"), rows)
    return draw(paint, height=2.8 + 0.2 * (len({name for _, name, _ in kept}) // 3), alt=alt, table=table)


def _cumulative(axes: Any, entry: Latency, colour: str, label: str) -> None:
    times = 1e3 * np.sort(np.asarray(entry.values))
    shares = np.linspace(0, 1, min(len(times), _CURVE_POINTS))
    axes.plot(np.quantile(times, shares), shares, color=colour, label=label)


def _bound(axes: Any) -> None:
    """Show all but the slowest times: a few stalls of the machine must not squeeze the rest against the axis."""
    curves = [np.asarray(line.get_xdata()) for line in axes.lines]
    low, high = min(curve[0] for curve in curves), max(float(np.quantile(curve, 0.9)) for curve in curves)
    axes.set_xlim(low - 0.05 * (high - low), high + 0.3 * (high - low))


def memory_plot(arms: Sequence[Arm]) -> Plot | None:
    """Return what each arm keeps for the backward pass; None when that was not measured."""
    found = [
        (i, arm.name, entry, entry.saved_for_backward_bytes)
        for i, arm in enumerate(arms)
        for entry in arm.memory
        if entry.saved_for_backward_bytes is not None
    ]
    if not found:
        return None
    names = [f"{clip(name, 26)}, {shape_text(e.shape) if e.shape else e.phase}" for _, name, e, _ in found]
    rows = [
        (name, f"{e.phase} {shape_text(e.shape)}", binary_size(size), str(e.activation_saved_tensors or ""))
        for _, name, e, size in found
    ]

    def paint(figure: Any) -> None:
        axes = figure.subplots()
        largest = max(size for *_, size in found) or 1
        for row, (position, _, _, size) in enumerate(found):
            axes.barh(row, size / 2**20, height=0.55, color=series_colour(position))
            axes.text((size + 0.012 * largest) / 2**20, row, binary_size(size), va="center")
        name_rows(axes, names)
        axes.set_xlim(0, 1.16 * largest / 2**20)
        axes.set_xlabel("saved for the backward pass (MiB)")

    alt = "Memory saved for the backward pass: " + "; ".join(f"{r[0]} {r[1]}: {r[2]}" for r in rows)
    header = ("arm", "batch × tokens", "saved for backward", "tensors per activation")
    return draw(paint, height=rows_height(len(rows)), alt=alt, table=Table("Memory", header, rows))
