"""``gelu-patch compare``: the verdict, from saved runs, without torch and without a model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from gelu_patch.cli import options


def compare(
    baseline: Annotated[Path, typer.Argument(metavar="BASELINE", help="Run folder or its report.json.")],
    candidate: Annotated[Path, typer.Argument(metavar="CANDIDATE", help="Run folder or its report.json.")],
    margin: Annotated[
        list[str] | None,
        typer.Option("--margin", help="accuracy=1.0pp, nll=0.005, latency=+2%. May be repeated."),
    ] = None,
    output_dir: Annotated[Path | None, typer.Option("--output_dir", help="Default: CANDIDATE/compare.")] = None,
    require_gain: Annotated[bool, typer.Option("--require_gain", help="Exit with 1 when no gain is shown.")] = False,
    json_output: options.Json = False,
) -> None:
    """Compare two runs on the same examples and exit with the verdict."""
    from gelu_patch.errors import ExitCode
    from gelu_patch.reporting.outcome import compare as compare_runs
    from gelu_patch.reporting.policy import read_margins
    from gelu_patch.reporting.run_folder import HTML, RunFolder

    runs = RunFolder.open(baseline), RunFolder.open(candidate)
    outcome = compare_runs(*runs, margins=read_margins(margin or []), command=sys.argv)
    saved = outcome.save(output_dir or runs[1].path / "compare", overwrite=output_dir is None)
    if json_output:
        typer.echo(saved.report.model_dump_json(by_alias=True))
    else:
        options.out.print(str(outcome))
        shown = HTML if (saved.path / HTML).is_file() else "report.md"
        options.out.print(f"report: {saved.path / shown}")
    for warning in saved.report.warnings:
        options.err.print(f"note: {warning}")
    gainless = require_gain and outcome.verdict == "NO GAIN"
    raise typer.Exit(int(ExitCode.DO_NOT_SHIP if gainless else outcome.exit_code))
