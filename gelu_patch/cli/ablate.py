"""``gelu-patch ablate``: activations x seeds, one table, one report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gelu_patch.cli import options


def ablate(
    source: Annotated[
        Path, typer.Argument(metavar="ABLATION", help="YAML (or TOML) file; docs/ablation.md says what is in it.")
    ],
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep what --output_dir holds of this ablation and go on.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry_run", help="Print which runs are to do, and do nothing.")] = False,
    output_dir: Annotated[
        Path | None, typer.Option("--output_dir", help="Folder of the ablation, instead of the file's.")
    ] = None,
    overwrite_output_dir: Annotated[
        bool, typer.Option("--overwrite_output_dir", help="Make all runs anew that --output_dir holds.")
    ] = False,
    quiet: options.Quiet = False,
    offline: options.Offline = False,
    json_output: options.Json = False,
) -> None:
    """Train every activation with every seed, score them, and say which are better than the baseline.

    With --resume, finished runs are kept, interrupted ones go on, and when all are finished only the report is written
    again. Exits with 0 whatever the ranking says, and with 5 when a run of the baseline diverged.
    """
    from gelu_patch.errors import UsageError
    from gelu_patch.reporting.rendering.console import ablation_view, table_view
    from gelu_patch.reporting.storage.run_folder import HTML, MARKDOWN
    from gelu_patch.runs.ablation import ablate as run_ablation
    from gelu_patch.runs.ablation_plan import AblationPlan
    from gelu_patch.runs.progress import ConsoleProgress, Silent
    from gelu_patch.training.launch import check_launch
    from gelu_patch.training.processes import is_first_process

    if resume and overwrite_output_dir:
        raise UsageError("--resume keeps the runs that --overwrite_output_dir replaces", next_step="use one of them")
    check_launch()
    if dry_run:
        plan = AblationPlan.of(source, output_dir)
        runs = plan.runs(overwrite=overwrite_output_dir)
        options.out.print(table_view(plan.table(runs)), soft_wrap=False)
        finished = sum(run.state == "finished" for run in runs)
        options.out.print(f"{len(runs)} runs in {plan.folder.path}: {finished} finished, {len(runs) - finished} to run")
        return
    first = is_first_process()
    progress = ConsoleProgress(options.err) if first and not quiet else Silent()
    run = run_ablation(source, output_dir, resume=resume, overwrite=overwrite_output_dir, progress=progress)
    if not first:
        return
    report = run.report
    if json_output:
        typer.echo(report.model_dump_json(by_alias=True))
    elif report.ablation:
        options.out.print(ablation_view(report.ablation), soft_wrap=False)
        options.out.print(f"report: {run.path / (HTML if (run.path / HTML).is_file() else MARKDOWN)}")
    for warning in report.warnings:
        options.err.print(f"note: {warning}")
    raise typer.Exit(report.exit_code or 0)
