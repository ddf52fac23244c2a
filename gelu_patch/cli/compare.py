"""``gelu-patch compare``: the verdict, from saved runs, without torch and without a model."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from gelu_patch.cli import options
from gelu_patch.errors import GeluPatchError, InvalidMeasurement, NotComparable, UsageError

_RUN = "Run folder or its report.json; a directory (or quoted pattern) of run folders is one arm of several seeds."


def compare(
    baseline: Annotated[str, typer.Argument(metavar="BASELINE", help=_RUN)],
    candidates: Annotated[list[str], typer.Argument(metavar="CANDIDATE...", help="One or several, as BASELINE.")],
    policy: Annotated[
        Path | None, typer.Option("--policy", help="YAML or TOML with margins, primary metrics, alpha and more.")
    ] = None,
    margin: Annotated[
        list[str] | None,
        typer.Option("--margin", help="accuracy=1.0pp, nll=0.005, latency=+2%. May be repeated; before --policy's."),
    ] = None,
    bench: Annotated[
        Path | None, typer.Option("--bench", help="Run folder of `gelu-patch bench`, for latency and memory.")
    ] = None,
    output_dir: Annotated[Path | None, typer.Option("--output_dir", help="Default: CANDIDATE/compare.")] = None,
    require_gain: Annotated[bool, typer.Option("--require_gain", help="Exit with 1 when no gain is shown.")] = False,
    only_changed: Annotated[
        bool, typer.Option("--only_changed", help="Leave out what is the same in both arms.")
    ] = False,
    precision: Annotated[int, typer.Option("--precision", min=-2, max=8, help="So many decimals more.")] = 0,
    markdown: Annotated[bool, typer.Option("--md", help="Print the Markdown report on standard output.")] = False,
    no_github: Annotated[bool, typer.Option("--no_github", help="Write nothing to $GITHUB_STEP_SUMMARY.")] = False,
    json_output: options.Json = False,
) -> None:
    """Compare runs on the same examples and exit with the verdict."""
    from gelu_patch.errors import ExitCode
    from gelu_patch.reporting import wording
    from gelu_patch.reporting.outcome import compare as compare_runs
    from gelu_patch.reporting.policy.margins import read_margins
    from gelu_patch.reporting.rendering.console import comparison_text, comparison_view
    from gelu_patch.reporting.rendering.job_summary import append_to_job_summary
    from gelu_patch.reporting.rendering.selection import changed_only
    from gelu_patch.reporting.storage.run_folder import COMPARE, HTML, MARKDOWN

    if json_output and markdown:
        raise UsageError("--json and --md both print on standard output", next_step="ask for one of them")
    folder = output_dir or _default_folder(candidates[0], COMPARE)
    try:
        outcome = compare_runs(
            baseline, *candidates, margins=read_margins(margin or []), policy=policy, bench=bench, command=sys.argv
        )
    except (NotComparable, InvalidMeasurement) as error:
        if json_output:
            typer.echo(_refusal(error))
        raise
    with wording.precision(precision):
        saved = outcome.save(folder, overwrite=output_dir is None)
        text = (saved.path / MARKDOWN).read_text(encoding="utf-8")
        if json_output:
            typer.echo(saved.report.model_dump_json(by_alias=True))
        elif markdown:
            typer.echo(text)
        else:
            written = comparison_view if options.out.is_terminal else comparison_text
            end = "\n\n" if len(outcome.comparisons) > 1 else "\n"
            for comparison in outcome.comparisons:
                shown = changed_only(comparison) if only_changed else comparison
                options.out.print(written(shown, outcome.report.arms), soft_wrap=False, end=end)
            options.out.print(f"report: {saved.path / (HTML if (saved.path / HTML).is_file() else MARKDOWN)}")
    if not no_github:
        append_to_job_summary(text)
    for warning in saved.report.warnings:
        options.err.print(f"note: {warning}")
    gainless = require_gain and outcome.exit_code == ExitCode.OK and outcome.verdict == "NO GAIN"
    raise typer.Exit(int(ExitCode.DO_NOT_SHIP if gainless else outcome.exit_code))


def _default_folder(candidate: str, name: str) -> Path:
    path = Path(candidate)
    if any(mark in candidate for mark in "*?["):
        raise UsageError("a pattern of runs needs an --output_dir", next_step="--output_dir runs/compare")
    return (path.parent if path.suffix == ".json" else path) / name


def _refusal(error: GeluPatchError) -> str:
    """A refusal as JSON: what a script reads is there whatever happened."""
    name = "NOT COMPARABLE" if isinstance(error, NotComparable) else "INVALID"
    reasons = [part for part in (error.what, error.why, error.next_step) if part]
    return json.dumps({"kind": "compare", "verdict": name, "exit_code": int(error.exit_code), "reasons": reasons})
