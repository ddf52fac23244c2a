"""``gelu-patch eval``: one arm on one data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gelu_patch.cli import options
from gelu_patch.cli.fields import takes


@takes(options.Columns, "columns")
@takes(options.Arm, "arm")
def evaluate(
    source: Annotated[
        str, typer.Argument(metavar="MODEL", help="Folder of a training run, model directory or Hub id.")
    ],
    test_file: Annotated[Path, typer.Option("--test_file", "--data", help="CSV, TSV, JSON lines, Parquet or dataset.")],
    arm: options.Arm,
    columns: options.Columns,
    output_dir: options.OutputDir = None,
    max_length: Annotated[
        int | None, typer.Option("--max_length", min=2, help="Default: that of the training run, or 128.")
    ] = None,
    overwrite_output_dir: options.Overwrite = False,
    quiet: options.Quiet = False,
    offline: options.Offline = False,
) -> None:
    """Evaluate a run or a checkpoint, as it is or with a swap alone, and keep every prediction."""
    from gelu_patch.reporting.arms import seed_folders
    from gelu_patch.reporting.run_folder import RunFolder
    from gelu_patch.runs.evaluate import EvaluationJob, evaluate_run
    from gelu_patch.runs.progress import ConsoleProgress, Silent
    from gelu_patch.runs.seeds import evaluate_seeds
    from gelu_patch.tasks.data import read_examples

    if output_dir is not None:
        RunFolder(output_dir).check_free(overwrite=overwrite_output_dir)
    job = EvaluationJob(
        **arm.model_dump(),
        source=source,
        data=read_examples(test_file, **columns.model_dump()),
        max_length=max_length,
    )
    progress = Silent() if quiet else ConsoleProgress(options.err)
    run = RunFolder(source)
    do = evaluate_seeds if run.has_report and seed_folders(run) else evaluate_run
    options.print_run(do(job, output_dir, overwrite=overwrite_output_dir, progress=progress))
