"""Evaluate a checkpoint, or a finished training run, with or without a patch, into a run folder."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

from gelu_patch.environment import best_device
from gelu_patch.errors import ModelNotFound, UsageError
from gelu_patch.patching import patch_model
from gelu_patch.patching.adapters import adapter_base
from gelu_patch.reporting.run_folder import RunFolder
from gelu_patch.reporting.schema import Report
from gelu_patch.runs.job import Job
from gelu_patch.runs.progress import Progress, Silent
from gelu_patch.tasks.base import tasks
from gelu_patch.tasks.data import TextExamples
from gelu_patch.tasks.evaluate import Evaluation, evaluate_model
from gelu_patch.timing.arms import STOCK
from gelu_patch.training.adapters import load_adapter

DEFAULT_MAX_LENGTH = 128


@dataclass(frozen=True, kw_only=True)
class EvaluationJob(Job):
    """Everything that decides what an evaluation computes.

    ``source`` is a checkpoint directory, a Hub id or the folder of a training run, whose ``max_length`` is used
    unless another is given. ``activation`` is put on top of what the source has.
    """

    source: str
    data: TextExamples
    max_length: int | None = None
    seed: int = 0


def evaluate_run(
    job: EvaluationJob,
    output_dir: str | Path | None = None,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> RunFolder:
    """Evaluate and write a run folder.

    Without ``output_dir`` the source must be a training run, evaluated as it was trained: its report keeps the
    training and takes over the new predictions. Raises UsageError when an ``output_dir`` is needed, and what
    loading, patching and evaluating raise.
    """
    run = RunFolder(job.source)
    trained = run.report if run.has_report else None
    if output_dir is None:
        _check_own_folder(job, trained)
    else:
        RunFolder(output_dir).check_free(overwrite=overwrite)
    evaluation = _evaluate(job, run, trained, progress or Silent())
    report = evaluation.report
    if trained is not None and job.activation == STOCK:
        own_files = trained.files if output_dir is None else {}
        report = _inherit(report, trained).model_copy(update={"files": own_files | report.files})
    report = report.model_copy(update={"title": report.title or job.activation})
    report.tool.command = list(sys.argv)
    # Only now, so that a failed evaluation does not cost the run that is replaced.
    folder = run if output_dir is None else RunFolder.create(output_dir, overwrite=overwrite)
    folder.write_predictions(evaluation.predictions)
    folder.write_report(report)
    return folder


def _check_own_folder(job: EvaluationJob, trained: Report | None) -> None:
    if trained is None or job.activation != STOCK:
        why = "the source is not a run folder" if trained is None else "a swap would overwrite the run's own results"
        raise UsageError(
            "this evaluation needs an --output_dir", where=job.source, why=why, next_step="--output_dir runs/NAME"
        )


def _evaluate(job: EvaluationJob, run: RunFolder, trained: Report | None, progress: Progress) -> Evaluation:
    if trained is not None and not run.model_path.is_dir():
        raise ModelNotFound(
            f"{run.path} holds a run without a model",
            why=f"there is no {run.model_path}",
            next_step="evaluate the checkpoint that it was made from",
        )
    source = run.model_path if trained is not None else Path(job.source)
    loaded = tasks.get(job.task).load(
        str(source) if source.exists() else job.source,
        seed=job.seed,
        trust_remote_code=job.trust_remote_code,
        revision=job.revision,
    )
    if adapter_base(source) is not None:
        loaded = replace(loaded, model=load_adapter(loaded.model, source), notes=())
    loaded.model.to(best_device())
    if job.activation != STOCK:
        patch_model(loaded.model, job.activation, job.where, memory=job.memory)
    with progress.bar(f"evaluate {job.activation}") as update:
        evaluation = evaluate_model(
            loaded.model,
            data=job.data,
            tokenizer=loaded.tokenizer,
            labels=loaded.labels,
            task=job.task,
            batch_size=job.per_device_eval_batch_size,
            max_length=job.max_length or _trained_max_length(trained),
            on_batch=lambda done, total: update(done, total, ""),
        )
    evaluation.report.warnings.extend(loaded.notes)
    return evaluation


def _trained_max_length(trained: Report | None) -> int:
    recipe = trained.training.recipe if trained and trained.training else {}
    return int(recipe.get("max_length", DEFAULT_MAX_LENGTH))


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
