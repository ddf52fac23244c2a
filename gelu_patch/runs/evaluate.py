"""Evaluate a checkpoint, or a finished training run, with or without a patch, into a run folder."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from gelu_patch.errors import ModelNotFound, UsageError
from gelu_patch.patching import check_ranks, patch_model
from gelu_patch.patching.adapters import adapter_base
from gelu_patch.patching.selectors import describe_where
from gelu_patch.reporting.schema import Report
from gelu_patch.reporting.storage.run_folder import ENVIRONMENT, EVALUATION, PREDICTIONS, RUN_LOG, RunFolder
from gelu_patch.runs.identity import identity_of
from gelu_patch.runs.job import Job
from gelu_patch.runs.progress import Progress, Silent
from gelu_patch.runs.resume import Resumable
from gelu_patch.runs.shards import SECONDS_BETWEEN_SHARDS
from gelu_patch.runs.world import World
from gelu_patch.tasks.base import tasks
from gelu_patch.tasks.data import TextExamples
from gelu_patch.tasks.evaluate import Evaluation, Prepared, prepare
from gelu_patch.tasks.noise import NOISE_EXAMPLES
from gelu_patch.timing.arms import STOCK
from gelu_patch.timing.devices import require_device
from gelu_patch.training.adapters import load_adapter
from gelu_patch.training.launch import check_launch


@dataclass(frozen=True, kw_only=True)
class EvaluationJob(Job):
    """Everything that decides what an evaluation computes.

    ``source`` is a checkpoint directory, a Hub id or the folder of a training run, whose ``max_length`` is used
    unless another is given. ``activation`` is put on top of what the source has. ``seed`` draws weights that the
    checkpoint lacks and decides which tokens are hidden. ``num_processes`` is how many must be running.
    """

    source: str
    data: TextExamples
    max_length: int | None = None
    stride: int | None = None
    seed: int = 0
    device: str | None = None
    noise_examples: int = NOISE_EXAMPLES
    num_processes: int | None = None

    def describe(self) -> dict[str, object]:
        """Return what was asked for, as plain data."""
        names = ("source", "activation", "memory", "task", "max_length", "stride", "seed", "device", "noise_examples")
        asked = {name: getattr(self, name) for name in names}
        found = self.data
        data = {"name": found.name, "n": len(found), "limited": found.limited, "sha256": found.inputs_sha256}
        batch_size = self.per_device_eval_batch_size
        return asked | {"where": describe_where(self.where), "data": data, "per_device_eval_batch_size": batch_size}


def evaluate_run(
    job: EvaluationJob,
    output_dir: str | Path | None = None,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    seconds_between_shards: float = SECONDS_BETWEEN_SHARDS,
) -> RunFolder:
    """Evaluate and write a run folder; go on where an earlier call with the same job was stopped.

    Without ``output_dir`` the source must be a training run, evaluated as it was trained: its report keeps the
    training and takes over the new predictions. A finished run of the same job is returned as it is, unless
    ``overwrite``. Started by torchrun, the processes share the work and write the same files as one.

    Raises UsageError when an ``output_dir`` is needed, OutputExists when it holds something else (naming what
    differs) or is in use, EnvironmentProblem when another number of processes runs than was asked for, Interrupted
    on Ctrl-C, and what loading, patching and evaluating raise.
    """
    world = World.from_environment()
    check_launch(asked=job.num_processes, found=world.count)
    source = RunFolder(job.source)
    trained = source.report if source.has_report else None
    if output_dir is None:
        _check_own_folder(job, trained)
    folder = source if output_dir is None else RunFolder(output_dir)
    started = time.perf_counter()
    progress = progress if progress is not None and world.is_first else Silent()
    with world.joined():
        prepared, notes = _prepare(job, source, trained, world)
        resumable = Resumable(
            folder,
            identity_of(prepared, noise_examples=job.noise_examples),
            job.describe(),
            world,
            in_place=output_dir is None,
            seconds_between_shards=seconds_between_shards,
        )
        with resumable.held():
            if resumable.begin(overwrite=overwrite):
                progress.note(f"{folder.path} holds this very evaluation, finished: nothing was run")
            else:
                arm = trained.title if trained is not None and job.activation == STOCK else ""
                sheet = resumable.answer(prepared, progress, f"evaluate {arm or job.activation}")

                def finish() -> None:
                    evaluation = prepared.finish(sheet, started=started, noise_examples=job.noise_examples)
                    resumable.finish(replace(evaluation, report=_report(job, evaluation, trained, notes, output_dir)))

                try:
                    world.first_only(finish)
                except KeyboardInterrupt as error:
                    raise resumable.interrupted(prepared) from error
    return RunFolder(folder.path)


def is_evaluated(run: RunFolder, job: EvaluationJob) -> bool:
    """Whether a training run was scored in its own folder on the data and with the settings of ``job``.

    It is asked of what is on disk: no model is loaded. What a later version of a library changes does not count.
    """
    try:
        there = yaml.safe_load((run.path / EVALUATION).read_text(encoding="utf-8"))
        data = (there["identity"]["data"]["ids"], there["data"]["sha256"])
    except (OSError, KeyError, TypeError, yaml.YAMLError):
        return False
    if not (run.has_report and (run.path / PREDICTIONS).is_file()):
        return False
    asked = all(there.get(name) == getattr(job, name) for name in ("task", "max_length", "stride", "seed"))
    return asked and data == (job.data.ids_sha256, job.data.inputs_sha256)


def _check_own_folder(job: EvaluationJob, trained: Report | None) -> None:
    if trained is None or job.activation != STOCK:
        why = "the source is not a run folder" if trained is None else "a swap would overwrite the run's own results"
        raise UsageError(
            "this evaluation needs an --output_dir", where=job.source, why=why, next_step="--output_dir runs/NAME"
        )


def _prepare(
    job: EvaluationJob, source: RunFolder, trained: Report | None, world: World
) -> tuple[Prepared, tuple[str, ...]]:
    """Load and patch the model, encode the data; return also the notes of loading."""
    if trained is not None and not source.model_path.is_dir():
        raise ModelNotFound(
            f"{source.path} holds a run without a model",
            why=f"there is no {source.model_path}",
            next_step="evaluate the checkpoint that it was made from",
        )
    device = world.device(job.device)
    require_device(device)
    directory = source.model_path if trained is not None else Path(job.source)
    loaded = tasks.get(job.task).load(
        str(directory) if directory.exists() else job.source,
        seed=job.seed,
        trust_remote_code=job.trust_remote_code,
        revision=job.revision,
    )
    if adapter_base(directory) is not None:
        loaded = replace(loaded, model=load_adapter(loaded.model, directory), notes=())
    loaded.model.to(device)
    if job.activation != STOCK:
        patch_model(loaded.model, job.activation, job.where, memory=job.memory)
    check_ranks(loaded.model)
    prepared = prepare(
        loaded.model,
        data=job.data,
        tokenizer=loaded.tokenizer,
        labels=loaded.labels,
        task=job.task,
        batch_size=job.per_device_eval_batch_size,
        max_length=job.max_length or _trained_max_length(trained),
        stride=job.stride,
        data_seed=job.seed,
    )
    return replace(prepared, protocol=prepared.protocol.model_copy(update={"world_size": world.count})), loaded.notes


def _trained_max_length(trained: Report | None) -> int | None:
    recipe = trained.training.recipe if trained and trained.training else {}
    return int(recipe["max_length"]) if "max_length" in recipe else None


def _report(
    job: EvaluationJob,
    evaluation: Evaluation,
    trained: Report | None,
    notes: tuple[str, ...],
    output_dir: str | Path | None,
) -> Report:
    report = evaluation.report
    if trained is not None and job.activation == STOCK:
        own_files = trained.files if output_dir is None else {}
        report = _inherit(report, trained).model_copy(update={"files": own_files | report.files})
    files = report.files | {"run_log": RUN_LOG, "environment": ENVIRONMENT}
    warnings = [*report.warnings, *(note for note in notes if note not in report.warnings)]
    tool = report.tool.model_copy(update={"command": list(sys.argv)})
    update = {"title": report.title or job.activation, "files": files, "warnings": warnings, "tool": tool}
    return report.model_copy(update=update)


def _inherit(report: Report, trained: Report) -> Report:
    """The new evaluation inside the report of the run that trained the model."""
    return trained.model_copy(
        update={
            "data": report.data,
            "protocol": report.protocol,
            "quality": report.quality,
            "environment": report.environment,
        }
    )
