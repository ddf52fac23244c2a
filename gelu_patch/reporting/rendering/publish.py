"""Writing the forms of a report that somebody asked for."""

from __future__ import annotations

from pathlib import Path

from gelu_patch.errors import OutputExists
from gelu_patch.reporting.rendering.bench_tables import bench_markdown
from gelu_patch.reporting.rendering.html import html_report
from gelu_patch.reporting.rendering.job_summary import append_to_job_summary
from gelu_patch.reporting.rendering.markdown import markdown_report
from gelu_patch.reporting.rendering.model_card import update_model_card
from gelu_patch.reporting.schema import Report
from gelu_patch.reporting.storage.files import make_directory, write_text
from gelu_patch.reporting.storage.run_folder import HTML, MARKDOWN, REPORT, RunFolder


def publish(
    report: Report,
    folder: Path,
    *,
    html: bool = True,
    markdown: bool = True,
    model_card: Path | None = None,
    job_summary: bool = False,
) -> list[Path]:
    """Write what is asked for and return the paths; ``report.json`` beside a page, unless the run's own is there.

    The Markdown also goes to the summary of a CI job, when there is one and ``job_summary``. Raises OutputExists when
    ``folder`` holds another run, whose report this would replace, and MissingExtra without the packages of a page.
    """
    written = []
    pages = {HTML: html_report(report)} if html else {}
    as_text = bench_markdown if report.kind == "bench" else markdown_report
    pages |= {MARKDOWN: as_text(report)} if markdown else {}
    if pages:
        make_directory(folder)
        target = RunFolder(folder)
        known = target.report if target.has_report else None
        if known is not None and known.kind != "compare" and known.run_id != report.run_id:
            raise OutputExists(
                f"{folder} holds the run {known.run_id}",
                why=f"the {REPORT} of this page would replace its own",
                next_step="choose another --output_dir",
            )
        written += [write_text(folder / name, text) for name, text in pages.items()]
        if known is None or (known.kind == "compare" and known != report):
            written.append(target.write_report(report))
    if model_card:
        written.append(update_model_card(model_card, report))
    if job_summary and markdown and (summary := append_to_job_summary(pages[MARKDOWN])):
        written.append(summary)
    return written
