"""``gelu-patch train``: fine-tune one arm."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gelu_patch.cli import options
from gelu_patch.cli import policy as fixed_policy
from gelu_patch.cli.fields import takes
from gelu_patch.training.recipe import Recipe


@takes(options.Columns, "columns")
@takes(options.Arm, "arm")
@takes(Recipe, "recipe")
def train(
    model_name_or_path: Annotated[str, typer.Option("--model_name_or_path", help="Directory or Hub id.")],
    train_file: Annotated[Path, typer.Option("--train_file", help="CSV, TSV, JSON lines, Parquet or dataset.")],
    output_dir: Annotated[Path, typer.Option("--output_dir", help="Folder of the run.")],
    recipe: Recipe,
    arm: options.Arm,
    columns: options.Columns,
    validation_file: Annotated[
        Path | None, typer.Option("--validation_file", help="Scored after every epoch and at the end.")
    ] = None,
    max_length: Annotated[int, typer.Option("--max_length", min=2, help="Tokens per example.")] = 128,
    ignore_mismatched_sizes: Annotated[
        bool, typer.Option("--ignore_mismatched_sizes", help="Draw a new head where the sizes differ.")
    ] = False,
    overwrite_output_dir: options.Overwrite = False,
    quiet: options.Quiet = False,
    offline: options.Offline = False,
    policy: fixed_policy.Fixed = None,
) -> None:
    """Fine-tune a checkpoint, stock or patched, and write a run folder for `eval` and `compare`."""
    from gelu_patch.reporting.run_folder import RunFolder
    from gelu_patch.runs.progress import ConsoleProgress, Silent
    from gelu_patch.runs.train import TrainingJob, train_run
    from gelu_patch.tasks import read_examples, tasks

    RunFolder(output_dir).check_free(overwrite=overwrite_output_dir)
    read = {**columns.model_dump(), "labelled": tasks.get(arm.task).labelled}
    job = TrainingJob(
        **arm.model_dump(),
        model_name_or_path=model_name_or_path,
        train=read_examples(train_file, **read),
        validation=read_examples(validation_file, **read) if validation_file else None,
        recipe=recipe,
        max_length=max_length,
        ignore_mismatched_sizes=ignore_mismatched_sizes,
    )
    progress = Silent() if quiet else ConsoleProgress(options.err)
    run = train_run(job, output_dir, overwrite=overwrite_output_dir, progress=progress)
    fixed_policy.fix(run, policy, "train")
    options.print_run(run)
    next_step = f"gelu-patch eval {output_dir} --test_file test.csv"
    options.err.print(f"next: {next_step}, then gelu-patch compare runs/stock {output_dir}")
