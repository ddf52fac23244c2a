"""``gelu-patch eval``: one arm on one data set."""

from __future__ import annotations

from typing import Annotated

import typer
from pydantic import BaseModel, Field

from gelu_patch.cli import options
from gelu_patch.cli import policy as fixed_policy
from gelu_patch.cli.fields import takes


class Settings(BaseModel):
    """What an evaluation is told beside its arm and its columns."""

    max_length: int | None = Field(
        None, ge=2, description="Default: that of the training run, or what suits the task and the model."
    )
    stride: int | None = Field(
        None, ge=1, description="Tokens that a window of a long document predicts; default: half a window."
    )
    limit: int | None = Field(None, ge=1, description="The first examples only; the report says so.")
    seed: int = Field(0, description="Draws missing weights, and which tokens are hidden.")
    noise_examples: int = Field(256, ge=0, description="Examples predicted again in other batches; 0: none.")
    num_processes: int | None = Field(None, ge=1, description="Refuse to run as another number of processes.")
    num_fewshot: int | None = Field(None, ge=0, description="Examples in the prompt of an lm-eval task.")
    include_path: str | None = Field(None, description="Folder of YAML tasks for lm-eval.")


@takes(options.Columns, "columns")
@takes(Settings, "settings")
@takes(options.Arm, "arm")
def evaluate(
    source: Annotated[
        str, typer.Argument(metavar="MODEL", help="Folder of a training run, model directory or Hub id.")
    ],
    arm: options.Arm,
    settings: Settings,
    columns: options.Columns,
    test_file: Annotated[
        str | None,
        typer.Option(
            "--test_file",
            "--data",
            help="CSV, TSV, JSON lines, Parquet, text (documents between blank lines), a folder of text files or of "
            "datasets' save_to_disk, or hub:OWNER/NAME:SPLIT.",
        ),
    ] = None,
    output_dir: options.OutputDir = None,
    device: Annotated[str | None, typer.Option("--device", help="Where: cpu, cuda, ...; default: the best.")] = None,
    overwrite_output_dir: options.Overwrite = False,
    quiet: options.Quiet = False,
    offline: options.Offline = False,
    policy: fixed_policy.Fixed = None,
) -> None:
    """Evaluate a run or a checkpoint, as it is or with a swap alone, and keep every prediction.

    The same command again goes on where it was stopped.
    """
    from gelu_patch.errors import UsageError
    from gelu_patch.integrations.lm_eval import PREFIX
    from gelu_patch.reporting.comparing.arms import seed_folders
    from gelu_patch.reporting.storage.run_folder import RunFolder
    from gelu_patch.runs.evaluate import EvaluationJob, evaluate_run
    from gelu_patch.runs.lm_eval import LmEvalJob, lm_eval_run
    from gelu_patch.runs.progress import ConsoleProgress, Silent
    from gelu_patch.runs.seeds import evaluate_seeds
    from gelu_patch.runs.world import World
    from gelu_patch.tasks import read_examples, tasks

    if device is not None:
        options.check_device(device)
    asked = {**arm.model_dump(), **settings.model_dump(), "source": source, "device": device}
    if arm.task.startswith(PREFIX):
        run = lm_eval_run(
            LmEvalJob(**{name: asked[name] for name in LmEvalJob.__dataclass_fields__}),
            output_dir,
            overwrite=overwrite_output_dir,
        )
    elif test_file is None:
        raise UsageError("there is no data to evaluate on", next_step="--data FILE")
    else:
        labelled = tasks.get(arm.task).labelled
        asked["data"] = read_examples(test_file, **columns.model_dump(), labelled=labelled).first(settings.limit)
        job = EvaluationJob(**{name: asked[name] for name in EvaluationJob.__dataclass_fields__})
        progress = Silent() if quiet else ConsoleProgress(options.err)
        trained = RunFolder(source)
        evaluate = evaluate_seeds if trained.has_report and seed_folders(trained) else evaluate_run
        run = evaluate(job, output_dir, overwrite=overwrite_output_dir, progress=progress)
    if World.from_environment().is_first:  # it speaks for all
        fixed_policy.fix(run, policy, "eval")
        options.print_run(run)
