"""Latency: ratios, cumulative distributions of single times, the ratio over time, and ratios by batch and length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gelu_patch.reporting.rendering.plots.canvas import (
    COLOURS,
    Plot,
    clip,
    draw,
    legend_below,
    mark_interval,
    name_rows,
    rows_height,
    series_colour,
)
from gelu_patch.reporting.rendering.tables import Table
from gelu_patch.reporting.schema import Arm, Comparison, Latency, LatencyResult
from gelu_patch.reporting.series import quantiles
from gelu_patch.reporting.wording import place_text, ratio_range, seconds, words

STATE_COLOURS = {"FASTER": "good", "SAME": "series-1", "NOT_SLOWER": "series-1", "SLOWER": "bad"}
CONTROL = "A/A control"
_PANELS = 3


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
    return _ratios(list(measured.values()))


def arms_ratio_plot(arms: Sequence[Arm]) -> Plot | None:
    """Return the same of arms that were measured together and compared on nothing else; None if unmeasured."""
    return _ratios(
        [
            (
                arm.name,
                LatencyResult(
                    shape=entry.shape,
                    phase=entry.phase,
                    baseline_p50=entry.p50 / entry.ratio,
                    candidate_p50=entry.p50,
                    ratio=entry.ratio,
                    ci=entry.ratio_ci,
                    margin=entry.margin or 0.0,
                    aa_control=entry.aa_control,
                    state=entry.state or "INCONCLUSIVE",
                ),
            )
            for arm in arms
            for entry in arm.latency
            if entry.ratio is not None and entry.ratio_ci is not None
        ]
    )


def _ratios(found: Sequence[tuple[str, LatencyResult]]) -> Plot | None:
    if not found:
        return None
    rows = [
        (f"{name}, {place_text(r.phase, r.shape)}", f"{r.ratio:.3f}", ratio_range(r.ci), words(r.state))
        for name, r in found
    ]

    def paint(figure: Any) -> None:
        axes = figure.subplots()
        axes.axvline(1, color=COLOURS["muted"], linewidth=1)
        for margin in {result.margin for _, result in found} - {0.0}:
            axes.axvline(1 + margin, color=COLOURS["bad"], linewidth=1, linestyle=(0, (4, 3)))
        for row, (_, result) in enumerate(found):
            if result.aa_control:  # the noise floor of the same session, behind the result
                axes.barh(row, np.ptp(result.aa_control.ci), left=result.aa_control.ci[0], height=0.5,
                          color=COLOURS["grid"])  # fmt: skip
            colour = COLOURS[STATE_COLOURS.get(result.state, "muted")]
            mark_interval(axes, row, result.ratio, result.ci, colour)
        name_rows(axes, [f"{clip(name, 24)}, {place_text(r.phase, r.shape)}" for name, r in found])
        axes.set_xlabel("time of candidate / time of base (← faster); band: base against itself")

    alt = "Ratio of times, candidate over baseline: " + "; ".join(f"{r[0]}: {r[1]} {r[2]}, {r[3]}" for r in rows)
    table = Table("Latency ratios", ("candidate", "ratio", "95 % CI", "result"), rows)
    return draw(paint, height=rows_height(len(rows)), alt=alt, table=table)


@dataclass(frozen=True)
class _Line:
    """A line of one panel. ``position`` is that of the arm; None for the control."""

    place: tuple[str, tuple[int, int]]
    position: int | None
    name: str
    values: list[float]

    @property
    def style(self) -> dict[str, Any]:
        if self.position is None:
            return {"color": COLOURS["muted"], "linestyle": (0, (4, 3)), "linewidth": 1.1, "label": CONTROL}
        return {"color": series_colour(self.position), "label": clip(self.name, 30)}


def _lines(arms: Sequence[Arm], field: str) -> list[_Line]:
    """Return one line per arm and place and one control per place; what one measurement gave to two arms is drawn
    once, under the name of the first."""
    lines: dict[object, _Line] = {}
    for position, arm in enumerate(arms):
        for entry in arm.latency:
            place = (entry.phase, entry.shape)
            if values := _values(entry, field):
                lines.setdefault((place, tuple(values)), _Line(place, position, arm.name, values))
            control = getattr(entry.aa_control, field) if entry.aa_control else []
            if control:
                lines.setdefault((place, None), _Line(place, None, CONTROL, control))
    return list(lines.values())


def _values(entry: Latency, field: str) -> list[float]:
    found: list[float] = getattr(entry, field)
    return found or (quantiles(entry.values) if field == "quantiles" else [])


def _panels(figure: Any, lines: Sequence[_Line], *, sharey: bool = True) -> list[tuple[Any, list[_Line]]]:
    """Make one panel for each of the first places, titled, with its lines."""
    places = list(dict.fromkeys(line.place for line in lines))[:_PANELS]
    axes = figure.subplots(1, len(places), sharey=sharey, squeeze=False)[0]
    for panel, place in zip(axes, places, strict=True):
        panel.set_title(place_text(*place))
    return [(panel, [line for line in lines if line.place == place]) for panel, place in zip(axes, places, strict=True)]


def distribution_plot(arms: Sequence[Arm]) -> Plot | None:
    """Return the cumulative distribution of single times per shape, with the A/A control's; None without times.

    Arms that share one measurement share its curve, under the name of the first.
    """
    lines = _lines(arms, "quantiles")
    if not lines:
        return None
    rows = [
        (line.name, place_text(*line.place), *(seconds(float(np.quantile(line.values, q))) for q in (0.5, 0.9, 0.99)))
        for line in lines
    ]

    def paint(figure: Any) -> None:
        panels = _panels(figure, lines)
        for axes, drawn in panels:
            for line in drawn:
                axes.plot(1e3 * np.asarray(line.values), np.linspace(0, 1, len(line.values)), **line.style)
            _bound(axes)
            axes.set_xlabel("time (ms)")
        panels[0][0].set_ylabel("share of runs that were faster")
        legend_below(figure, [axes for axes, _ in panels])

    alt = "Distribution of times: " + "; ".join(f"{r[0]} {r[1]}: median {r[2]}, p99 {r[4]}" for r in rows)
    table = Table("Times", ("arm", "batch × tokens", "median", "p90", "p99"), rows)
    return draw(paint, height=_height(lines), alt=alt, table=table)


def _height(lines: Sequence[_Line]) -> float:
    return 2.8 + 0.2 * (len({line.name for line in lines}) // 3)


def _bound(axes: Any) -> None:
    """Show all but the slowest times: a few stalls of the machine must not squeeze the rest against the axis."""
    curves = [np.asarray(line.get_xdata()) for line in axes.lines]
    low, high = min(curve[0] for curve in curves), max(float(np.quantile(curve, 0.9)) for curve in curves)
    room = (high - low) or 0.05 * high or 1.0
    axes.set_xlim(low - 0.05 * room, high + 0.3 * room)


def over_time_plot(arms: Sequence[Arm]) -> Plot | None:
    """Return the paired ratio in the order of measurement, with the A/A control's; None when it was not kept."""
    lines = _lines(arms, "ratio_over_time")
    if not lines:
        return None
    rows = [(line.name, place_text(*line.place), *_thirds(line.values)) for line in lines]

    def paint(figure: Any) -> None:
        panels = _panels(figure, lines)
        for axes, drawn in panels:
            axes.axhline(1, color=COLOURS["muted"], linewidth=0.8)
            for line in drawn:
                axes.plot(np.linspace(0, 100, len(line.values)), line.values, **line.style)
            axes.set_xlabel("measured (% of the session)")
        everything = np.concatenate([line.values for line in lines])
        low, high = np.quantile(everything, [0.02, 0.98])  # a single stall must not flatten the lines
        room = max(high - low, 0.02)
        panels[0][0].set_ylim(min(low - 0.3 * room, 0.99), max(high + 0.3 * room, 1.01))
        panels[0][0].set_ylabel("time / time of base")
        legend_below(figure, [axes for axes, _ in panels])

    alt = "Paired time ratio over the session: " + "; ".join(
        f"{r[0]} {r[1]}: first third {r[2]}, last third {r[4]}" for r in rows
    )
    header = ("arm", "batch × tokens", "first third", "middle", "last third")
    return draw(paint, height=_height(lines), alt=alt, table=Table("Ratio over time", header, rows))


def _thirds(values: Sequence[float]) -> tuple[str, str, str]:
    first, middle, last = (f"{float(np.median(part)):.3f}" if len(part) else "—" for part in np.array_split(values, 3))
    return first, middle, last
