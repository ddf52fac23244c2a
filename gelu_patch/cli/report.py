"""``gelu-patch report``: a page, Markdown and a model card from saved runs, without torch and without a model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gelu_patch.cli import options

if TYPE_CHECKING:
    from gelu_patch.reporting.schema import Report


def report(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="BASELINE CANDIDATE...",
            help="Run folders, the baseline first; or one saved comparison. A folder or its report.json.",
        ),
    ],
    html: Annotated[bool, typer.Option("--html", help="Write report.html (default, with --md).")] = False,
    md: Annotated[bool, typer.Option("--md", help="Write report.md (default, with --html).")] = False,
    model_card: Annotated[
        Path | None,
        typer.Option("--model_card", help="Write or update this model card: a section, and model-index for the Hub."),
    ] = None,
    policy: Annotated[
        Path | None, typer.Option("--policy", help="As for compare; a saved comparison has its own.")
    ] = None,
    margin: Annotated[list[str] | None, typer.Option("--margin", help="As for compare.")] = None,
    bench: Annotated[Path | None, typer.Option("--bench", help="As for compare.")] = None,
    title: Annotated[str, typer.Option("--title", help="Title of the report.")] = "",
    output_dir: Annotated[
        Path | None,
        typer.Option("--output_dir", help="Default: the saved comparison's folder, or LAST_CANDIDATE/report."),
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Show report.html in a browser.")] = False,
    no_github: Annotated[bool, typer.Option("--no_github", help="Write nothing to $GITHUB_STEP_SUMMARY.")] = False,
    json_output: options.Json = False,
) -> None:
    """Write what saved runs say: for people who decide, for CI and for the Hub."""
    from gelu_patch.reporting.policy.margins import read_margins
    from gelu_patch.reporting.rendering.publish import publish
    from gelu_patch.reporting.sources import report_from
    from gelu_patch.reporting.storage.run_folder import HTML

    found = report_from(
        sources,
        policy=policy,
        margins=read_margins(margin or []),
        bench=bench,
        title=title,
        command=sys.argv,
    )
    everything = not (html or md or model_card or open_page)
    folder = _folder(sources, output_dir)
    written = publish(
        found,
        folder,
        html=html or open_page or everything,
        markdown=md or everything,
        model_card=model_card,
        job_summary=not no_github,
    )
    _print(found, written, json_output)
    if open_page:
        typer.launch((folder / HTML).resolve().as_uri())


def _folder(sources: list[Path], chosen: Path | None) -> Path:
    from gelu_patch.reporting.storage.run_folder import REPORT

    last = sources[-1].parent if sources[-1].name == REPORT else sources[-1]
    return chosen or (last if len(sources) == 1 else last / "report")


def _print(found: Report, written: list[Path], json_output: bool) -> None:
    if json_output:
        typer.echo(found.model_dump_json(by_alias=True))
        return
    for comparison in found.comparisons:
        options.out.print(f"{comparison.title}: {comparison.headline}")
    for path in written:
        options.out.print(f"wrote {path}")
