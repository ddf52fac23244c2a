"""From a drawing function to an inline SVG: byte-stable, accessible, at home in light and dark pages."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from gelu_patch.errors import MissingExtra
from gelu_patch.reporting.rendering.tables import Table

# Each colour is drawn as its light-mode value and then replaced by a CSS variable of the same name, so that one
# SVG follows the reader's colour scheme. Every value must therefore be unique.
COLOURS = {
    "ink": "#20262e",
    "muted": "#667180",
    "grid": "#dfe3e8",
    "good": "#1f7a3f",
    "bad": "#c93c37",
    "series-0": "#56606e",
    "series-1": "#2f6fd0",
    "series-2": "#d9730d",
    "series-3": "#8a4fc7",
    "series-4": "#0f9488",
    "series-5": "#c2408f",
}
WIDTH = 7.6  # inches; the page scales the drawing to its own width

_STYLE: dict[str, object] = {
    "svg.fonttype": "none",  # text stays text: selectable, searchable, in the page's own font
    "text.parse_math": False,  # a "$" in a model name is a dollar sign
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.edgecolor": COLOURS["muted"],
    "axes.labelcolor": COLOURS["muted"],
    "axes.titlecolor": COLOURS["ink"],
    "axes.linewidth": 0.7,
    "grid.color": COLOURS["grid"],
    "grid.linewidth": 0.7,
    "text.color": COLOURS["ink"],
    "xtick.color": COLOURS["muted"],
    "ytick.color": COLOURS["muted"],
    "xtick.labelcolor": COLOURS["ink"],
    "ytick.labelcolor": COLOURS["ink"],
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}


@dataclass(frozen=True, repr=False)
class Plot:
    """A drawing, what it shows in words, and its numbers."""

    svg: str
    alt: str
    table: Table

    def __repr__(self) -> str:
        return f"Plot({clip(self.alt, 100)})"

    def _repr_svg_(self) -> str:
        """Return the drawing as a document of its own, in the light colours: notebooks call this to show it."""
        size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', self.svg)
        width, height = size.groups() if size else ("100%", "100%")
        return re.sub(r"var\(--[\w-]+, (#\w+)\)", r"\1", self.svg).replace(
            "<svg ",
            f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{width}" '
            f'height="{height}" style="background: #ffffff; stroke-linejoin: round" ',
            1,
        )


def series_colour(position: int) -> str:
    """Return the colour of arm number ``position``; the baseline, 0, is grey."""
    return COLOURS[f"series-{0 if position == 0 else 1 + (position - 1) % 5}"]


def draw(paint: Callable[[Any], None], *, height: float, alt: str, table: Table) -> Plot:
    """Let ``paint`` fill a matplotlib Figure of ``height`` inches and return it as a Plot.

    Raises MissingExtra when matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra.of("matplotlib", "report", "the HTML report") from error
    with matplotlib.rc_context(), warnings.catch_warnings():
        # The page has its own fonts: what matplotlib's lacks (Chinese, emoji) only makes its layout a guess.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        matplotlib.rcdefaults()  # somebody's own matplotlibrc must not change a report
        # Two drawings of one page must not share the ids of what they define.
        matplotlib.rcParams.update(_STYLE | {"svg.hashsalt": f"gelu-patch {alt}"})
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        paint(figure)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return Plot(_inline(buffer.getvalue(), alt), alt, table)


def _inline(document: str, alt: str) -> str:
    """Turn an SVG document into an element of an HTML page, without links, metadata and needless ids."""
    body = document[document.index("<svg") :]
    size = re.search(r'viewBox="([^"]+)"', body)
    inner = body[body.index(">") + 1 :].strip()
    inner = re.sub(r"<metadata>.*?</metadata>\s*", "", inner, flags=re.DOTALL)
    inner = re.sub(r"<style[^>]*>.*?</style>\s*", "", inner, flags=re.DOTALL)  # for all of the page: see style.css
    inner = re.sub(r"<!--.*?-->\s*", "", inner, flags=re.DOTALL)
    inner = re.sub(r'<g id="[^"]*">', "<g>", inner)
    for name, value in COLOURS.items():
        inner = inner.replace(value, f"var(--{name}, {value})")
    view_box = size.group(1) if size else f"0 0 {WIDTH * 72} 300"
    return f'<svg viewBox="{view_box}" role="img" aria-label="{escape(alt, quote=True)}">{inner}'


def legend_below(figure: Any, panels: Sequence[Any]) -> None:
    """Write one legend under the panels, each label once."""
    handles: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=3)


def rows_height(rows: int, *, each: float = 0.3, rest: float = 0.85) -> float:
    """Return the height in inches of a plot with one line per row."""
    return rest + each * max(rows, 1)


def clip(name: str, length: int = 42) -> str:
    """Return a name that fits beside an axis."""
    return name if len(name) <= length else f"{name[: length - 1]}…"


def name_rows(axes: Any, names: Sequence[str]) -> None:
    """Write one name per row on the y axis, the first on top."""
    axes.set_yticks(range(len(names)), [clip(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)


def mark_interval(axes: Any, row: float, value: float, interval: tuple[float, float] | None, colour: str) -> None:
    """Draw a value as a dot and its interval as a line, in row number ``row``."""
    if interval is not None:
        axes.plot(interval, [row, row], color=colour, linewidth=2, solid_capstyle="round")
    axes.plot([value], [row], "o", color=colour, markersize=5)
