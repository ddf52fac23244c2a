"""``report.md``: the report for a pull request or a job summary, without images and below 60 KB."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from gelu_patch.reporting.rendering import tables, views
from gelu_patch.reporting.rendering.ablation_tables import ablation_sentences, ablation_tables
from gelu_patch.reporting.rendering.printable import printable_model
from gelu_patch.reporting.rendering.training_tables import training_tables
from gelu_patch.reporting.schema import Ablation, Comparison, Report, VerdictName
from gelu_patch.reporting.wording import doubts

_MOST_TRAINING_ROWS = 40
MAXIMUM_BYTES = 60_000  # a GitHub comment holds 65,536 characters

ICONS: dict[VerdictName, str] = {
    "SHIP": "✅",
    "NO GAIN": "🟰",
    "DO NOT SHIP": "⛔",
    "INCONCLUSIVE": "❔",
    "PRELIMINARY": "🌱",
    "PARTIAL": "✂️",
    "NOT COMPARABLE": "🚫",
    "INVALID": "⚠️",
}

# What begins a block (heading, list, rule) where it begins a line.
_BLOCK = re.compile(r"^(#+|[-+](?=\s|$)|[-=~]{3,}|\d+(?=[.)]))")


def escape(text: object) -> str:
    """Return text that Markdown shows as it is, on one line: no HTML, links, images, code, mathematics or table
    separators."""
    line = " ".join(str(text).split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = re.sub(r"([\\`*\[\]|$]|~(?=~)|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", line)
    return re.sub(r"://|(?<=www)\.", lambda found: f"&#{ord(found[0][0])};{found[0][1:]}", line)


def fenced(text: str) -> str:
    """Return a block of code, with a fence that no line of ``text`` can close."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def markdown_report(report: Report) -> str:
    """Return the whole report as Markdown, below ``MAXIMUM_BYTES``.

    What does not fit is left out, and the text says so: first flips, then the other details, then the tables.
    """
    report = printable_model(report)
    for flips in (50, 20, 5, 0):
        text = _text(report, flips=flips)
        if len(text.encode()) <= MAXIMUM_BYTES:
            return text
    text = _text(report, flips=0, details=False)
    if len(text.encode()) <= MAXIMUM_BYTES:
        return text
    verdicts = [_verdict_line(comparison) for comparison in report.comparisons]
    cut = "\n\n".join([_title(report), *verdicts]).encode()[: MAXIMUM_BYTES - 200].decode(errors="ignore")
    return f"{cut}\n\nThe tables do not fit here: see report.html or report.json.\n"


def comparison_markdown(comparison: Comparison) -> str:
    """Return one comparison under a heading of the third level, without details. Its text must be printable."""
    return "\n".join(_comparison(comparison, flips=0, details=False, heading="###")).rstrip()


def _text(report: Report, *, flips: int, details: bool = True) -> str:
    lines = [_title(report), ""]
    if report.ablation:
        lines += _ablation(report.ablation)
    elif len(report.comparisons) > 1:
        lines += _table(tables.overview_table(report.comparisons))
    for comparison in report.comparisons:
        lines += _comparison(comparison, flips=flips, details=details)
    lines += _checks(report)
    if details:
        lines += _details(report)
    else:
        lines += ["The details do not fit here: see report.html or report.json.", ""]
    return "\n".join(lines).rstrip() + "\n"


def _title(report: Report) -> str:
    return f"# {escape(report.title or report.run_id)}"


def _ablation(ablation: Ablation) -> Iterator[str]:
    yield from _bullets(ablation_sentences(ablation))
    for table in ablation_tables(ablation):
        yield from (f"## {escape(table.caption)}", "")
        yield from _table(table)


def _comparison(comparison: Comparison, *, flips: int, details: bool, heading: str = "##") -> Iterator[str]:
    yield from (f"{heading} {escape(comparison.title)}", "", _verdict_line(comparison), "")
    yield from _table(tables.summary_table(comparison))
    yield from _bullets(f"⚠️ {doubt}" for doubt in doubts(comparison.results))
    if not details:
        return
    yield from _folded("Why this verdict", _bullets(comparison.reasons))
    yield from _folded("Flips and fidelity", _flips(comparison, flips))
    yield from _folded("What differs between the runs", _bullets(comparison.differences))
    yield from _folded("Margins", _bullets(views.policy_facts(comparison.policy)))


def _flips(comparison: Comparison, most: int) -> Iterator[str]:
    yield from _bullets(filter(None, [tables.flips_sentence(comparison)]))
    if comparison.fidelity:
        yield from _table(tables.fidelity_table(comparison.fidelity))
    changed = tables.flipped_examples(comparison)
    if changed.rows and most:
        yield from _table(changed.first(most))
    if len(changed.rows) > most:
        yield from (f"{len(changed.rows) - most} of {len(changed.rows)} changed examples do not fit here.", "")


def _checks(report: Report) -> Iterator[str]:
    if report.checks:
        yield from ("## Checks", "")
        icons = {True: "✅", False: "❌"}
        yield from _bullets(f"{icons[c.passed]} {c.name}: {c.measured} ({c.bar})" for c in report.checks)


def _verdict_line(comparison: Comparison) -> str:
    return f"{ICONS[comparison.verdict]} **{escape(comparison.headline)}**"


def _table(table: tables.Table) -> Iterator[str]:
    if not table.rows:
        return
    yield "| " + " | ".join(map(escape, table.header)) + " |"
    yield "|:--" + "|--:" * (len(table.header) - 2) + "|:--|"
    for row in table.rows:
        yield "| " + " | ".join(map(escape, row)) + " |"
    yield ""


def _bullets(items: Iterable[str]) -> Iterator[str]:
    lines = ["- " + _BLOCK.sub(r"\\\1", escape(item)) for item in items]
    if lines:
        yield from lines
        yield ""


def _folded(summary: str, content: Iterable[str]) -> Iterator[str]:
    lines = list(content)
    if lines:
        yield from (f"<details><summary>{summary}</summary>", "", *lines, "</details>", "")


def _details(report: Report) -> Iterator[str]:
    rows = views.environment_rows(report)
    for table in training_tables(report.arms):
        yield from _folded(table.caption, _table(table.first(_MOST_TRAINING_ROWS)))
    yield from _folded("Environment", _bullets(f"{name} {value}" for name, value in rows))
    yield from _folded("Commands", (f"{fenced(command)}\n" for _, command in views.commands(report)))
    yield from _folded("Notes", _bullets(report.notes))
