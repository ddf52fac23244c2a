"""``report.md``: the report for a pull request or a job summary, without images and below 60 KB."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from gelu_patch.reporting.schema import Comparison, Report, VerdictName
from gelu_patch.reporting.tables import (
    Table,
    fidelity_rows,
    flips_sentence,
    latency_table,
    memory_table,
    quality_table,
)

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


def escape(text: object) -> str:
    """Return text that Markdown shows as it is: no HTML, links, images, code or table separators, on one line."""
    line = " ".join(str(text).split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*\[\]|])", r"\\\1", line)


def markdown_report(report: Report) -> str:
    """Return the whole report as Markdown; details are left out when it would not fit a comment."""
    head = [f"# {escape(report.title or report.run_id)}", ""]
    body = [line for comparison in report.comparisons for line in _comparison(comparison)]
    body += _checks(report)
    details = list(_details(report))
    for lines in ([*head, *body, *details], [*head, *body]):
        text = "\n".join(lines).rstrip() + "\n"
        if len(text.encode()) <= MAXIMUM_BYTES:
            return text
    verdicts = [_verdict_line(comparison) for comparison in report.comparisons]
    cut = "\n\n".join([*head[:1], *verdicts]).encode()[: MAXIMUM_BYTES - 200].decode(errors="ignore")
    return f"{cut}\n\nThe tables do not fit here: see report.html or report.json.\n"


def _comparison(comparison: Comparison) -> Iterator[str]:
    yield f"## {escape(comparison.title)}"
    yield ""
    yield _verdict_line(comparison)
    yield ""
    for table in (quality_table(comparison), latency_table(comparison), memory_table(comparison)):
        if table.rows:
            yield from _table(table)
    facts = [flips_sentence(comparison)]
    if comparison.fidelity:
        facts += [f"{name}: {value}" for name, value in fidelity_rows(comparison.fidelity)]
    yield from _bullets(fact for fact in facts if fact)
    yield from _bullets(f"⚠️ {warning}" for result in comparison.results for warning in result.warnings)
    yield from _folded("Why this verdict", comparison.reasons)
    yield from _folded("What differs between the runs", comparison.differences)


def _checks(report: Report) -> Iterator[str]:
    if report.checks:
        yield from ("## Checks", "")
        icons = {True: "✅", False: "❌"}
        yield from _bullets(f"{icons[c.passed]} {c.name}: {c.measured} ({c.bar})" for c in report.checks)


def _verdict_line(comparison: Comparison) -> str:
    return f"{ICONS[comparison.verdict]} **{escape(comparison.headline)}**"


def _table(table: Table) -> Iterator[str]:
    yield "| " + " | ".join(map(escape, table.header)) + " |"
    yield "|:--" + "|--:" * (len(table.header) - 2) + "|:--|"
    for row in table.rows:
        yield "| " + " | ".join(map(escape, row)) + " |"
    yield ""


def _bullets(items: Iterable[str]) -> Iterator[str]:
    lines = [f"- {escape(item)}" for item in items]
    if lines:
        yield from lines
        yield ""


def _folded(summary: str, items: Iterable[str]) -> Iterator[str]:
    lines = list(_bullets(items))
    if lines:
        yield from (f"<details><summary>{summary}</summary>", "", *lines, "</details>", "")


def _details(report: Report) -> Iterator[str]:
    environment = report.environment
    facts = [f"{name} {version}" for name, version in environment.packages.items()]
    facts += [f"python {environment.python}", environment.os, environment.cpu, f"threads {environment.threads}"]
    yield from _folded("Environment", [*facts, *environment.gpu])
    commands = [(arm.name, arm.tool.command) for arm in report.arms] + [("this report", report.tool.command)]
    yield from _folded("Commands", (f"{name}: {' '.join(command)}" for name, command in commands if command))
    yield from _folded("Notes", report.notes)
