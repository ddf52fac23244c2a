"""``gelu-patch eval``: one arm on one data set."""

from __future__ import annotations

from typing import Annotated

import typer

from gelu_patch.cli import options
from gelu_patch.cli import policy as fixed_policy
from gelu_patch.cli.fields import takes


@takes(options.Columns, "columns")
@takes(options.Arm, "arm")
def evaluate(
    source: Annotated[
        str, typer.Argument(metavar="MODEL", help="Folder of a training run, model directory or Hub id.")
    ],
    test_file: Annotated[
        str,
        typer.Option(
            "--test_file",
            "--data",
            help="CSV, TSV, JSON lines, Parquet, text (documents between blank lines), a folder of text files or of "
            "datasets' save_to_disk, or hub:NAME[/CONFIG]:SPLIT.",
        ),
    ],
    arm: options.Arm,
    columns: options.Columns,
    output_dir: options.OutputDir = None,
    max_length: Annotated[
        int | None,
        typer.Option(
            "--max_length", min=2, help="Default: that of the training run, or what suits the task and model."
        ),
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option("--stride", min=1, help="Tokens that a window of a long document predicts; default: half of it."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="The first examples only; the report is marked as partial.")
    ] = None,
    device: Annotated[str | None, typer.Option("--device", help="Where: cpu, cuda, ...; default: the best.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Draws missing weights, and which tokens are hidden.")] = 0,
    noise_examples: Annotated[
        int, typer.Option("--noise_examples", min=0, help="Examples predicted again in other batches; 0: none.")
    ] = 256,
    num_processes: Annotated[
        int | None, typer.Option("--num_processes", min=1, help="Refuse to run as another number of processes.")
    ] = None,
    overwrite_output_dir: options.Overwrite = False,
    quiet: options.Quiet = False,
    offline: options.Offline = False,
    policy: fixed_policy.Fixed = None,
) -> None:
    """Evaluate a run or a checkpoint, as it is or with a swap alone, and keep every prediction.

    The same command again goes on where it was stopped.
    """
    from gelu_patch.runs.evaluate import EvaluationJob, evaluate_run
    from gelu_patch.runs.progress import ConsoleProgress, Silent
    from gelu_patch.runs.world import World
    from gelu_patch.tasks import read_examples, tasks

    if device is not None:
        options.check_device(device)
    labelled = tasks.get(arm.task).labelled
    job = EvaluationJob(
        **arm.model_dump(),
        source=source,
        data=read_examples(test_file, **columns.model_dump(), labelled=labelled).first(limit),
        max_length=max_length,
        stride=stride,
        device=device,
        seed=seed,
        noise_examples=noise_examples,
        num_processes=num_processes,
    )
    progress = Silent() if quiet else ConsoleProgress(options.err)
    run = evaluate_run(job, output_dir, overwrite=overwrite_output_dir, progress=progress)
    if World.from_environment().is_first:  # it speaks for all
        fixed_policy.fix(run, policy, "eval")
        options.print_run(run)
