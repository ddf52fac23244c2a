"""The report of a training run, and what its evaluation adds to it."""

from __future__ import annotations

import sys
import time
import uuid

from gelu_patch.environment import fingerprint
from gelu_patch.errors import InvalidMeasurement
from gelu_patch.reporting.schema import Environment, Memory, Report, SeedRun, Tool, Training
from gelu_patch.reporting.storage.run_folder import CONFIG, MODEL, TRAINING_LOG, RunFolder, now
from gelu_patch.runs.training_job import TrainingJob
from gelu_patch.tasks.base import LoadedModel
from gelu_patch.tasks.describe import describe_data, describe_model


def training_report(
    job: TrainingJob,
    loaded: LoadedModel,
    training: Training,
    memory: list[Memory],
    notes: list[str],
    started: float,
) -> Report:
    """Return the report of a run that began at ``started`` (of ``time.perf_counter``)."""
    subject = describe_model(loaded.model)
    return Report(
        kind="train",
        run_id=uuid.uuid4().hex[:12],
        created=now(),
        duration_s=round(time.perf_counter() - started, 3),
        title=job.activation,
        tool=Tool.here(sys.argv),
        subject=subject.model_copy(update={"model": job.model_label or job.model_name_or_path}),
        data=describe_data(job.train, loaded.tokenizer, loaded.labels),
        training=training,
        memory=memory,
        environment=Environment(**fingerprint()),
        files={"log": TRAINING_LOG, "config": CONFIG, "model": MODEL},
        warnings=[*loaded.notes, *notes, *(_how_it_diverged(run) for run in training.per_seed if run.diverged)],
    )


def with_evaluation(report: Report, evaluated: Report) -> Report:
    """The training report, with what was measured on examples that it was not trained on."""
    return report.model_copy(
        update={
            "data": evaluated.data,
            "protocol": evaluated.protocol,
            "quality": evaluated.quality,
            "files": report.files | evaluated.files,
        }
    )


def require_converged(run: RunFolder) -> None:
    """Raise InvalidMeasurement when a training of this run diverged: its results are no result."""
    training = run.report.training
    diverged = [each for each in training.per_seed if each.diverged] if training else []
    if diverged:
        raise InvalidMeasurement(
            f"the training in {run.path} diverged with seed {', '.join(str(each.seed) for each in diverged)}",
            why=_how_it_diverged(diverged[0]),
            next_step="look at training_log.jsonl; try a smaller --learning_rate, or --num_warmup_steps",
        )


def _how_it_diverged(run: SeedRun) -> str:
    kept = f"the last good checkpoint is of step {run.last_checkpoint}" if run.last_checkpoint else "no checkpoint"
    return (
        f"training diverged: it stopped after step {run.steps}, the last of several in a row without a finite loss and "
        f"gradient (seed {run.seed}); no such step changed a weight; {kept}"
    )
