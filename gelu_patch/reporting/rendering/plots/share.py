"""What the activations take at all, and so the most that any swap of them can gain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gelu_patch.reporting.rendering.plots.canvas import COLOURS, Plot, draw, legend_below, name_rows, rows_height
from gelu_patch.reporting.rendering.tables import Table
from gelu_patch.reporting.schema import ActivationShare
from gelu_patch.reporting.wording import MISSING, place_text, ratio_range

_PARTS = (("time", "series-1", "time_share"), ("saved for backward", "series-2", "saved_share"))


def share_plot(shares: Sequence[ActivationShare]) -> Plot | None:
    """Return the share of time and of saved bytes that the activations take, per shape; None when not measured."""
    known = [share for share in shares if share.time_share is not None or share.saved_share is not None]
    if not known:
        return None
    rows = [
        (
            place_text(share.phase, share.shape),
            _percent(share.time_share),
            "[{:.1f}, {:.1f}]".format(*(100 * end for end in share.time_share_ci)) if share.time_share_ci else MISSING,
            MISSING if share.best_ratio is None else f"{share.best_ratio:.3f}",
            ratio_range(share.best_ratio_ci) if share.best_ratio_ci else MISSING,
            _percent(share.saved_share),
        )
        for share in known
    ]  # fmt: skip

    def paint(figure: Any) -> None:
        axes = figure.subplots()
        reach = 100 * max(max(_end(share), share.saved_share or 0) for share in known)
        for place, (label, colour, field) in enumerate(_PARTS):
            values = [(row, getattr(share, field)) for row, share in enumerate(known)]
            for row, value in values:
                if value is not None:
                    at = row - 0.19 + 0.38 * place
                    axes.barh(at, 100 * value, height=0.34, color=COLOURS[colour], label=label)
                    end = _end(known[row]) if field == "time_share" else value
                    axes.text(100 * end + 0.012 * reach, at, _percent(value), va="center")
        for row, share in enumerate(known):
            if share.time_share_ci:
                ends = [100 * end for end in share.time_share_ci]
                axes.plot(ends, [row - 0.19] * 2, color=COLOURS["ink"], linewidth=1)
        name_rows(axes, [place_text(share.phase, share.shape) for share in known])
        axes.set_xlim(min(0, *axes.get_xlim()), max(1.15 * reach, 5))
        axes.set_xlabel("share of the base (%)")
        legend_below(figure, [axes])

    alt = "What the activations take of the base: " + "; ".join(
        f"{r[0]}: {r[1]} of the time {r[2]}, {r[5]} of what is saved for backward, best possible ratio {r[3]}"
        for r in rows
    )
    header = (
        "batch × tokens",
        "share of time",
        "95 % CI",
        "best possible ratio",
        "its 95 % CI",
        "share of saved bytes",
    )
    height = rows_height(len(rows), each=0.48, rest=1.15)
    return draw(paint, height=height, alt=alt, table=Table("Worth it?", header, rows))


def _end(share: ActivationShare) -> float:
    """Return where the drawing of the time share ends: at its interval's upper end, where there is one."""
    return max(share.time_share or 0, share.time_share_ci[1] if share.time_share_ci else 0, 0)


def _percent(share: float | None) -> str:
    return MISSING if share is None else f"{100 * share:.1f} %"
