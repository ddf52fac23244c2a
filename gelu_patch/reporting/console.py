"""A comparison in the terminal: tables first, the verdict last, where the eye ends."""

from __future__ import annotations

import io
from collections.abc import Iterator

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from gelu_patch.reporting.schema import Comparison, VerdictName
from gelu_patch.reporting.tables import (
    Table,
    fidelity_rows,
    flips_sentence,
    latency_table,
    memory_table,
    quality_table,
)

_COLOURS: dict[VerdictName, str] = {
    "SHIP": "bold green",
    "NO GAIN": "bold cyan",
    "DO NOT SHIP": "bold red",
    "INCONCLUSIVE": "bold yellow",
    "PRELIMINARY": "bold yellow",
    "PARTIAL": "bold yellow",
    "NOT COMPARABLE": "bold red",
    "INVALID": "bold magenta",
}
_STATE_COLOURS = {
    "SUPERIOR": "green",
    "NON-INFERIOR": "green",
    "FASTER": "green",
    "SMALLER": "green",
    "INFERIOR": "red",
    "SLOWER": "red",
    "LARGER": "red",
    "INVALID": "magenta",
    "INCONCLUSIVE": "yellow",
}


def comparison_view(comparison: Comparison) -> RenderableType:
    """Return the comparison as something that rich prints."""
    return Group(*_parts(comparison))


def comparison_text(comparison: Comparison, *, width: int = 120) -> str:
    """Return the comparison as plain text without colours, at most ``width`` columns wide."""
    console = Console(file=io.StringIO(), width=width, color_system=None, legacy_windows=False)
    console.print(comparison_view(comparison))
    text = console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO from above
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")


def _parts(comparison: Comparison) -> Iterator[RenderableType]:
    yield Text(comparison.title, style="bold")
    for table in (quality_table(comparison), latency_table(comparison), memory_table(comparison)):
        if table.rows:
            yield Text()
            yield _rich_table(table)
    yield Text()
    lines = RichTable.grid(padding=(0, 2))
    lines.add_column(no_wrap=True)
    lines.add_column()
    for label, text in _facts(comparison):
        lines.add_row(Text(label, style="bold"), text)
    lines.add_row()
    lines.add_row(Text("VERDICT", style="bold"), Text(comparison.headline, style=_COLOURS[comparison.verdict]))
    yield lines


def _facts(comparison: Comparison) -> Iterator[tuple[str, Text]]:
    if sentence := flips_sentence(comparison):
        yield "flips", Text(sentence)
    if comparison.fidelity:
        rows = fidelity_rows(comparison.fidelity)
        yield "fidelity", Text(", ".join(f"{name} {value}" for name, value in rows))
    if comparison.differences:
        yield "differs", Text("; ".join(comparison.differences))
    for result in comparison.results:
        yield from (("warning", Text(warning, style="yellow")) for warning in result.warnings)
    margins = ", ".join(f"{name} {margin}" for name, margin in comparison.policy.margins.items())
    yield "margins", Text(margins + (" (default policy)" if comparison.policy.source == "default" else ""))


def _rich_table(table: Table) -> RichTable:
    """Draw the table; where it is narrow, cells wrap between words and no word is cut."""
    drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    titles = (table.caption.upper(), *table.header[1:])
    for position, title in enumerate(titles):
        longest = max(len(word) for row in (titles, *table.rows) for word in row[position].split() or [""])
        between = 0 < position < len(titles) - 1
        drawn.add_column(
            Text(title, style="" if position else "bold"), justify="right" if between else "left", min_width=longest
        )
    for row in table.rows:
        state = Text(row[-1], style=_STATE_COLOURS.get(row[-1].split(" (")[0], ""))
        drawn.add_row(*(Text(cell) for cell in row[:-1]), state)
    return drawn
