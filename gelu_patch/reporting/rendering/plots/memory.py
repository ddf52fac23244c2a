"""Memory of the arms in its parts: weights, what is kept for the backward pass, and the rest of the peak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gelu_patch.reporting.rendering.plots.canvas import COLOURS, Plot, clip, draw, legend_below, name_rows, rows_height
from gelu_patch.reporting.rendering.tables import Table
from gelu_patch.reporting.schema import Arm, Memory
from gelu_patch.reporting.wording import MISSING, binary_size, shape_text

_PARTS = (("weights", "series-0"), ("saved for backward", "series-1"), ("other", "series-2"))


@dataclass(frozen=True)
class _Bar:
    name: str
    entry: Memory

    @property
    def peak(self) -> int | None:
        """The peak in bytes: the device's where there is one, the process's otherwise."""
        return self.entry.device_peak_bytes or self.entry.host_peak_rss_bytes

    @property
    def parts(self) -> tuple[int, int, int]:
        """Weights, saved for backward and other, in bytes; what is not known is 0."""
        weights, saved = self.entry.weights_bytes or 0, self.entry.saved_for_backward_bytes or 0
        return weights, saved, self.entry.other_bytes or 0


def memory_plot(arms: Sequence[Arm]) -> Plot | None:
    """Return stacked bars, one per arm, phase and shape; None when no memory was measured."""
    bars = [_Bar(arm.name, entry) for arm in arms for entry in arm.memory]
    bars = [bar for bar in bars if any(bar.parts)]
    if not bars:
        return None
    rows = [
        (
            bar.name,
            f"{bar.entry.phase} {shape_text(bar.entry.shape) if bar.entry.shape else ''}".rstrip(),
            _size(bar.entry.weights_bytes),
            _size(bar.entry.saved_for_backward_bytes),
            _size(bar.peak),
            str(bar.entry.activation_saved_tensors or MISSING),
        )
        for bar in bars
    ]

    def paint(figure: Any) -> None:
        axes = figure.subplots()
        largest = max(sum(bar.parts) for bar in bars)
        for row, bar in enumerate(bars):
            left = 0
            for (label, colour), size in zip(_PARTS, bar.parts, strict=True):
                if size:
                    axes.barh(row, size / 2**20, left=left / 2**20, height=0.55, color=COLOURS[colour], label=label)
                left += size
            axes.text((left + 0.012 * largest) / 2**20, row, binary_size(left), va="center")
        name_rows(axes, [f"{clip(bar.name, 26)}, {bar.entry.phase}" for bar in bars])
        axes.set_xlim(0, 1.16 * largest / 2**20)
        axes.set_xlabel("memory (MiB)")
        legend_below(figure, [axes])

    alt = "Memory: " + "; ".join(
        f"{r[0]}, {r[1]}: weights {r[2]}, saved for backward {r[3]}, peak {r[4]}" for r in rows
    )
    header = ("arm", "when", "weights", "saved for backward", "peak", "tensors per activation")
    height = rows_height(len(rows), rest=1.15)
    return draw(paint, height=height, alt=alt, table=Table("Memory", header, rows))


def _size(count: int | None) -> str:
    return MISSING if count is None else binary_size(count)
