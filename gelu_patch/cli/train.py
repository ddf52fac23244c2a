"""``gelu-patch train``: fine-tune one arm."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gelu_patch.cli import options
from gelu_patch.cli import policy as fixed_policy
from gelu_patch.cli.fields import takes
from gelu_patch.training.recipe import Recipe
from gelu_patch.training.settings import Checkpointing, Lora, Tracking


@takes(options.Columns, "columns")
@takes(options.Arm, "arm")
@takes(Tracking, "tracking")
@takes(Checkpointing, "checkpointing")
@takes(Lora, "lora")
@takes(Recipe, "recipe")
def train(
    model_name_or_path: Annotated[str, typer.Option("--model_name_or_path", help="Directory or Hub id.")],
    train_file: Annotated[Path, typer.Option("--train_file", help="CSV, TSV, JSON lines, Parquet, text or dataset.")],
    output_dir: Annotated[Path, typer.Option("--output_dir", help="Folder of the run.")],
    recipe: Recipe,
    lora: Lora,
    checkpointing: Checkpointing,
    tracking: Tracking,
    arm: options.Arm,
    columns: options.Columns,
    validation_file: Annotated[
        Path | None, typer.Option("--validation_file", help="Scored after every epoch and at the end.")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option("--seeds", help="Several seeds with commas between: a run each, and one report.")
    ] = None,
    max_length: Annotated[
        int | None,
        typer.Option("--max_length", "--block_size", min=2, help="Tokens per example or block. Default: the task's."),
    ] = None,
    ignore_mismatched_sizes: Annotated[
        bool, typer.Option("--ignore_mismatched_sizes", help="Draw a new head where the sizes differ.")
    ] = False,
    overwrite_output_dir: options.Overwrite = False,
    quiet: options.Quiet = False,
    offline: options.Offline = False,
    policy: fixed_policy.Fixed = None,
) -> None:
    """Fine-tune a checkpoint, stock or patched, and write a run folder for `eval` and `compare`.

    Run the same command again after an interruption: it goes on from the last checkpoint. Exits with 5 when the
    training diverged.
    """
    from gelu_patch.reporting.storage.run_folder import RunFolder
    from gelu_patch.runs.progress import ConsoleProgress, Silent
    from gelu_patch.runs.seeds import parse_seeds, train_seeds
    from gelu_patch.runs.train import TrainingJob, train_run
    from gelu_patch.runs.training_report import require_converged
    from gelu_patch.tasks import read_examples, tasks
    from gelu_patch.training.launch import check_launch
    from gelu_patch.training.processes import is_first_process

    check_launch()
    RunFolder(output_dir).check_free(overwrite=overwrite_output_dir)
    task = tasks.get(arm.task)
    read = {**columns.model_dump(), "labelled": task.labelled}
    job = TrainingJob(
        **arm.model_dump(),
        model_name_or_path=model_name_or_path,
        train=read_examples(train_file, **read),
        validation=read_examples(validation_file, **read) if validation_file else None,
        recipe=recipe,
        lora=lora,
        max_length=max_length or task.default_max_length,
        ignore_mismatched_sizes=ignore_mismatched_sizes,
    )
    first = is_first_process()
    progress = ConsoleProgress(options.err) if first and not quiet else Silent()
    given = {
        "overwrite": overwrite_output_dir,
        "checkpointing": checkpointing,
        "tracking": tracking,
        "progress": progress,
    }
    if seeds is None:
        run = train_run(job, output_dir, **given)  # type: ignore[arg-type]
    else:
        run = train_seeds(job, parse_seeds(seeds), output_dir, **given)  # type: ignore[arg-type]
    if first:
        fixed_policy.fix(run, policy, "train")
        options.print_run(run)
        next_step = f"gelu-patch eval {output_dir} --test_file test.csv"
        options.err.print(f"next: {next_step}, then gelu-patch compare runs/stock {output_dir}")
        require_converged(run)
