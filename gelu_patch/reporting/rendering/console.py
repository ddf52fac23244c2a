"""A comparison in the terminal: tables first, the verdict last, where the eye ends."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from gelu_patch.reporting.rendering import tables
from gelu_patch.reporting.rendering.ablation_tables import ablation_sentences, ablation_tables
from gelu_patch.reporting.rendering.printable import printable_model
from gelu_patch.reporting.rendering.tables import Table
from gelu_patch.reporting.rendering.views import policy_facts
from gelu_patch.reporting.schema import Ablation, Arm, Comparison, VerdictName
from gelu_patch.reporting.wording import divergence_sentence, doubts, perplexity_sentence

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
    "better": "green",
    "worse": "red",
    "diverged": "red",
    "not told apart": "yellow",
    "no interval": "yellow",
}


def comparison_view(comparison: Comparison, arms: Sequence[Arm] = ()) -> RenderableType:
    """Return the comparison as something that rich prints; ``arms`` add what each of them recorded alone (energy)."""
    compared = (comparison.baseline_run, comparison.candidate_run)
    return Group(*_parts(printable_model(comparison), [printable_model(arm) for arm in arms if arm.run in compared]))


def comparison_text(comparison: Comparison, arms: Sequence[Arm] = (), *, width: int = 120) -> str:
    """Return the comparison as plain text without colours, at most ``width`` columns wide."""
    target = io.StringIO()
    # In a notebook rich would show the text at once, and leave none.
    console = Console(file=target, width=width, color_system=None, legacy_windows=False, force_jupyter=False)
    console.print(comparison_view(comparison, arms))
    return "\n".join(line.rstrip() for line in target.getvalue().splitlines()).strip("\n")


def ablation_view(ablation: Ablation) -> RenderableType:
    """Return an ablation as something that rich prints: the tables, then what they say."""
    ablation = printable_model(ablation)
    finding, *reading = ablation_sentences(ablation)
    tables_and_space = (part for table in ablation_tables(ablation) for part in (table_view(table), Text()))
    return Group(*tables_and_space, *map(Text, reading), Text(), Text(finding, style="bold"))


def table_view(table: Table) -> RenderableType:
    """Return one table as something that rich prints."""
    return _Fitted(table)


def _parts(comparison: Comparison, arms: Sequence[Arm]) -> Iterator[RenderableType]:
    yield Text(comparison.title, style="bold")
    compared = (
        tables.quality_table(comparison),
        tables.latency_table(comparison),
        tables.throughput_table(comparison),
        tables.memory_table(comparison),
        tables.energy_table(arms),
    )
    for table in compared:
        if table.rows:
            yield Text()
            yield _Fitted(table)
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
    if sentence := tables.flips_sentence(comparison):
        yield "flips", Text(sentence)
    yield from (
        ("perplexity", Text(perplexity_sentence(each))) for each in comparison.results if each.ratio is not None
    )
    if comparison.divergence:
        yield "training", Text(divergence_sentence(comparison.divergence))
    if comparison.fidelity:
        yield (
            "fidelity",
            Text(", ".join(_beside_noise(*row) for row in tables.fidelity_table(comparison.fidelity).rows)),
        )
    if comparison.differences:
        yield "differs", Text("; ".join(comparison.differences))
    gated = (result for result in comparison.results if result.gated)
    yield from (("warning", Text(doubt, style="yellow")) for doubt in doubts(gated))
    yield from (("warning", Text(warning, style="yellow")) for warning in comparison.warnings)
    yield "margins", Text("; ".join(policy_facts(comparison.policy)))


def _beside_noise(name: str, value: str, noise: str = "") -> str:
    return f"{name} {value}" + (f" (noise {noise})" if noise else "")


_GAP = 2


@dataclass(frozen=True)
class _Fitted:
    """A table that wraps its cells between words where the terminal is narrow; rich alone would cut words."""

    table: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        yield _rich_table(self.table, options.max_width)


def _widths(columns: list[tuple[str, ...]], available: int) -> list[int]:
    """Return the width of each column: the widest ones give way, but none below its longest word."""
    widths = [max(map(len, column)) for column in columns]
    fewest = [max(len(word) for cell in column for word in cell.split() or [""]) for column in columns]
    while sum(widths) > available and widths != fewest:
        widest = max(range(len(widths)), key=lambda i: (widths[i] > fewest[i], widths[i]))
        widths[widest] -= 1
    return widths


def _rich_table(table: Table, width: int) -> RichTable:
    titles = (table.caption.upper(), *table.header[1:])
    columns = list(zip(titles, *table.rows, strict=True))
    widths = _widths(columns, width - _GAP * (len(columns) - 1))
    drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, _GAP - 1, 0, 0))
    drawn.add_column(Text(titles[0], style="bold"), width=widths[0])
    for title, wide in zip(titles[1:-1], widths[1:-1], strict=True):
        drawn.add_column(title, width=wide, justify="right")
    drawn.add_column(titles[-1], width=widths[-1])
    for row in table.rows:
        state = Text(row[-1], style=_STATE_COLOURS.get(row[-1].split(" (")[0], ""))
        drawn.add_row(*(Text(cell) for cell in row[:-1]), state)
    return drawn
