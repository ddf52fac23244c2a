"""The ratio of times by batch and length, where enough shapes were measured to make a map."""

from __future__ import annotations

from typing import Any

from gelu_patch.reporting.rendering.plots.canvas import COLOURS, Plot, draw
from gelu_patch.reporting.rendering.plots.latency import STATE_COLOURS
from gelu_patch.reporting.rendering.tables import Table
from gelu_patch.reporting.schema import Comparison, LatencyResult
from gelu_patch.reporting.wording import MISSING, words

_STRONG = 0.1  # a ratio that lies this far from 1 has the full colour


def heat_plot(comparison: Comparison, *, phase: str = "forward") -> Plot | None:
    """Return a map of the ratio, one row per batch and one column per length; None with fewer than 2 x 2 shapes."""
    cells = {result.shape: result for result in comparison.latency if result.phase == phase}
    batches, lengths = sorted({shape[0] for shape in cells}), sorted({shape[1] for shape in cells})
    if len(batches) < 2 or len(lengths) < 2:
        return None
    rows = [
        (f"batch {batch}", *(_text(cells.get((batch, length))) for length in lengths))
        for batch in batches
    ]  # fmt: skip

    def paint(figure: Any) -> None:
        from matplotlib.patches import Rectangle

        axes = figure.subplots()
        for (batch, length), result in cells.items():
            column, row = lengths.index(length), batches.index(batch)
            colour = COLOURS[STATE_COLOURS.get(result.state, "muted")]
            strength = 0.15 + 0.45 * min(abs(result.ratio - 1) / _STRONG, 1)
            axes.add_patch(Rectangle((column - 0.48, row - 0.46), 0.96, 0.92, facecolor=colour, alpha=strength))
            axes.text(column, row, f"{result.ratio:.3f}", ha="center", va="center")
        axes.set_xticks(range(len(lengths)), [str(length) for length in lengths])
        axes.set_yticks(range(len(batches)), [str(batch) for batch in batches])
        axes.set_xlim(-0.5, len(lengths) - 0.5)
        axes.set_ylim(len(batches) - 0.5, -0.5)
        axes.tick_params(length=0)
        axes.grid(visible=False)
        for side in axes.spines.values():
            side.set_visible(False)
        axes.set_xlabel("tokens")
        axes.set_ylabel("batch")

    alt = "Ratio of times by batch and length: " + "; ".join(
        f"{row[0]}: " + ", ".join(f"{length} tokens {cell}" for length, cell in zip(lengths, row[1:], strict=True))
        for row in rows
    )
    table = Table("Ratios by shape", ("", *(f"{length} tokens" for length in lengths)), rows)
    return draw(paint, height=0.9 + 0.42 * len(batches), alt=alt, table=table)


def _text(result: LatencyResult | None) -> str:
    return f"{result.ratio:.3f} {words(result.state)}" if result else MISSING
