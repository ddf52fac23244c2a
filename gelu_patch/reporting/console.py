"""A comparison in the terminal: tables first, the verdict last, where the eye ends."""

from __future__ import annotations

import io
from collections.abc import Iterator

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
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
    yield _rich_table(quality_table(comparison))
    yield from _fidelity(comparison)
    for table in (latency_table(comparison), memory_table(comparison)):
        if table.rows:
            yield _rich_table(table)
    if comparison.differences:
        yield Text("DIFFERS   " + "; ".join(comparison.differences), style="dim")
    for result in comparison.results:
        for warning in result.warnings:
            yield Text(f"warning   {warning}", style="yellow")
    if comparison.policy.source == "default":
        yield Text("note      margins are the default policy", style="dim")
    yield Text()
    yield Text("VERDICT   ", style="bold") + Text(comparison.headline, style=_COLOURS[comparison.verdict])


def _fidelity(comparison: Comparison) -> Iterator[RenderableType]:
    lines = [flips_sentence(comparison)]
    if comparison.fidelity:
        lines.append("   ".join(f"{name} {value}" for name, value in fidelity_rows(comparison.fidelity)))
    body = "\n".join(line for line in lines if line)
    if body:
        yield Text("FIDELITY", style="bold")
        yield Padding(Text(body), (0, 0, 1, 1))


def _rich_table(table: Table) -> RichTable:
    drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    drawn.add_column(Text(table.caption.upper(), style="bold"))
    for name in table.header[1:-1]:
        drawn.add_column(name, justify="right")
    drawn.add_column(table.header[-1])
    for row in table.rows:
        state = Text(row[-1], style=_STATE_COLOURS.get(row[-1].split(" (")[0], ""))
        drawn.add_row(*(Text(cell) for cell in row[:-1]), state)
    drawn.add_section()
    return drawn
