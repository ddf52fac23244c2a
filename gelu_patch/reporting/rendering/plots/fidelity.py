"""How far the outputs moved: logit differences beside the numeric noise, and drift by depth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gelu_patch.reporting.rendering.plots.canvas import COLOURS, Plot, draw, legend_below
from gelu_patch.reporting.rendering.tables import Table
from gelu_patch.reporting.schema import Fidelity, Histogram
from gelu_patch.reporting.wording import MISSING

_CANDIDATE, _NOISE = "candidate", "numeric noise (base against itself)"


def _arms(fidelity: Fidelity) -> list[tuple[str, str, Fidelity]]:
    """Return name, colour and numbers, the noise first: it is drawn behind the candidate."""
    noise = [(_NOISE, "series-0", fidelity.noise)] if fidelity.noise else []
    return [*noise, (_CANDIDATE, "series-1", fidelity)]


def logits_plot(fidelity: Fidelity) -> Plot | None:
    """Return the histogram of max |Δ logit| per example on a logarithmic axis; None when it was not kept."""
    found = [(name, colour, arm.dlogit_histogram) for name, colour, arm in _arms(fidelity) if arm.dlogit_histogram]
    if not any(name == _CANDIDATE for name, _, _ in found):
        return None
    edges = [math.log10(edge) for _, _, histogram in found for edge in histogram.edges]
    low, high = (min(edges), max(edges)) if edges else (-6.0, -5.0)
    zero = low - 0.55  # exact zeros have no place on a logarithmic axis, so they have one beside it

    def paint(figure: Any) -> None:
        axes = figure.subplots()
        for name, colour, histogram in found:
            lefts = [math.log10(edge) for edge in histogram.edges[:-1]]
            widths = [math.log10(b / a) for a, b in zip(histogram.edges, histogram.edges[1:], strict=False)]
            style = {"color": COLOURS[colour], "alpha": 0.55, "linewidth": 0}
            axes.bar(lefts, histogram.counts, widths, align="edge", label=name, **style)
            axes.bar([zero], [histogram.zeros], [0.3], **style)
        decades = range(math.ceil(low), math.floor(high) + 1)
        axes.set_xticks([zero, *decades], ["0", *(f"1e{decade:+d}" for decade in decades)])
        axes.set_xlim(zero - 0.35, high + 0.2)
        axes.grid(visible=False, axis="x")
        axes.set_xlabel("max |Δ logit| of an example")
        axes.set_ylabel("examples")
        legend_below(figure, [axes])

    rows = [(name, *_summary(histogram)) for name, _, histogram in found]
    alt = "Histogram of the largest logit difference per example: " + "; ".join(
        f"{row[0]}: {row[1]} examples, {row[2]} exactly 0, middle {row[3]}, largest bin up to {row[4]}" for row in rows
    )
    table = Table("Logit differences", ("arm", "examples", "exactly 0", "median bin up to", "all up to"), rows)
    return draw(paint, height=2.7, alt=alt, table=table)


def _summary(histogram: Histogram) -> tuple[str, str, str, str]:
    n = sum(histogram.counts) + histogram.zeros
    seen, middle = histogram.zeros, "0" if 2 * histogram.zeros >= n else MISSING
    for count, edge in zip(histogram.counts, histogram.edges[1:], strict=False):
        seen += count
        if middle == MISSING and 2 * seen >= n:
            middle = f"{edge:.1e}"
    return f"{n:,}", f"{histogram.zeros:,}", middle, f"{histogram.edges[-1]:.1e}" if histogram.edges else "0"


def drift_plot(fidelity: Fidelity) -> Plot | None:
    """Return the relative error of the hidden states by layer; None when no layer was compared."""
    found = [(name, colour, arm.per_layer_rel_err) for name, colour, arm in _arms(fidelity) if arm.per_layer_rel_err]
    if not any(name == _CANDIDATE for name, _, _ in found):
        return None

    def paint(figure: Any) -> None:
        axes = figure.subplots()
        for name, colour, errors in found:
            axes.plot(range(len(errors)), errors, "o-", markersize=3.5, color=COLOURS[colour], label=name)
        if any(error > 0 for _, _, errors in found for error in errors):
            axes.set_yscale("log", nonpositive="mask")
            axes.minorticks_off()
            axes.yaxis.set_major_formatter(lambda error, _: f"{error:.0e}")  # not as mathematics: that is TeX here
        axes.set_xlabel("layer (0: embeddings)")
        axes.set_ylabel("relative error")
        axes.locator_params(axis="x", integer=True)
        legend_below(figure, [axes])

    depth = max(len(errors) for _, _, errors in found)
    rows = [(f"layer {i}", *(_error(errors, i) for _, _, errors in found)) for i in range(depth)]
    alt = "Relative error of the hidden states by layer: " + "; ".join(
        f"{name}: first {_error(errors, 0)}, last {_error(errors, len(errors) - 1)}" for name, _, errors in found
    )
    table = Table("Drift by layer", ("", *(name for name, _, _ in found)), rows)
    return draw(paint, height=2.6, alt=alt, table=table)


def _error(errors: Sequence[float], layer: int) -> str:
    return f"{errors[layer]:.1e}" if layer < len(errors) else MISSING
