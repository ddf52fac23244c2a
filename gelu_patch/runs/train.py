"""One training run: load, patch, fine-tune, save, evaluate, report."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import time
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from gelu_patch.environment import DISTRIBUTION, best_device, fingerprint, git_commit, package_version
from gelu_patch.errors import Interrupted, InvalidMeasurement
from gelu_patch.patching import patch_model, save_patched
from gelu_patch.patching.selectors import describe_where
from gelu_patch.reporting.files import writable, write_text
from gelu_patch.reporting.run_folder import CONFIG, MODEL, TRAINING_LOG, RunFolder, now
from gelu_patch.reporting.schema import Environment, Report, Tool, Training
from gelu_patch.runs.job import Job
from gelu_patch.runs.progress import Progress, Silent
from gelu_patch.tasks.base import Encoded, LoadedModel, tasks
from gelu_patch.tasks.data import TextExamples
from gelu_patch.tasks.describe import describe_data, describe_model
from gelu_patch.tasks.evaluate import Evaluation, evaluate_model
from gelu_patch.tasks.loading import quiet_transformers
from gelu_patch.tasks.noise import NOISE_EXAMPLES
from gelu_patch.timing.arms import STOCK
from gelu_patch.training.accelerator import check_can_train
from gelu_patch.training.log import StepRecord
from gelu_patch.training.loop import finetune
from gelu_patch.training.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class TrainingJob(Job):
    """Everything that decides what a training run computes.

    With ``validate_each_epoch`` the validation examples are scored after every epoch, otherwise only once at the
    end. ``model_label`` is what reports call the model, by default ``model_name_or_path``.
    """

    model_name_or_path: str
    train: TextExamples
    recipe: Recipe
    validation: TextExamples | None = None
    max_length: int = 128
    validate_each_epoch: bool = True
    ignore_mismatched_sizes: bool = False
    model_label: str | None = None

    def describe(self) -> dict[str, Any]:
        """Return the job as plain data: two jobs with equal descriptions compute the same."""
        fields = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        del fields["model_label"]
        for part in ("train", "validation"):
            examples = fields[part]
            fields[part] = examples and {"name": examples.name, "n": len(examples), "sha256": examples.inputs_sha256}
        fields["where"] = describe_where(self.where)
        fields["recipe"] = self.recipe.model_dump()
        versions = {name: package_version(name) for name in (DISTRIBUTION, "torch", "transformers", "accelerate")}
        return fields | {"device": best_device(), "versions": versions}


def load_for_training(job: TrainingJob) -> LoadedModel:
    """Load the job's model with its head for the training labels, and check the validation labels against it."""
    loaded = tasks.get(job.task).load(
        job.model_name_or_path,
        train=job.train,
        seed=job.recipe.seed,
        trust_remote_code=job.trust_remote_code,
        revision=job.revision,
        ignore_mismatched_sizes=job.ignore_mismatched_sizes,
    )
    if job.validation is not None and loaded.labels is not None:
        loaded.labels.encode(job.validation)
    return loaded


def train_run(
    job: TrainingJob, output_dir: str | Path, *, overwrite: bool = False, progress: Progress | None = None
) -> RunFolder:
    """Run ``job`` and write its run folder; the report is written last, so a folder with one is complete.

    Raises OutputExists when the folder holds another run and not ``overwrite``; Interrupted on Ctrl-C.
    """
    progress = progress or Silent()
    started = time.perf_counter()
    check_can_train(job.recipe)
    loaded = load_for_training(job)
    loaded.model.to(best_device())  # before patching: a kernel is chosen for the device
    if job.activation != STOCK:
        patch_model(loaded.model, job.activation, job.where, memory=job.memory)
    data = _encode(job, loaded)
    # Everything that can be wrong with the request is known by now: only then is anything written.
    folder = RunFolder.create(output_dir, overwrite=overwrite)
    write_text(folder.path / CONFIG, yaml.safe_dump(job.describe(), sort_keys=False))
    try:
        training = _fine_tune(job, loaded, data, folder, progress)
    except KeyboardInterrupt as error:
        raise Interrupted(
            f"training of {folder.path} was stopped",
            why=f"the steps so far are in {TRAINING_LOG}; there is no model and no report yet",
            next_step="run the same command again to do this run anew",
        ) from error
    _save_model(loaded, folder)
    report = _report(job, loaded, training, started)
    try:
        if job.validation is not None:
            evaluation = _evaluate(job, loaded, job.validation, progress)
            folder.write_predictions(evaluation.predictions)
            folder.write_noise(evaluation.noise)
            folder.write_drift(evaluation.drift)
            report = _with_evaluation(report, evaluation.report)
            if report.data:
                report.data.seen_in_training = len(job.train.distinct_inputs & job.validation.distinct_inputs)
    except InvalidMeasurement as error:
        report.warnings.append(error.what)
        folder.write_report(report)
        raise
    folder.write_report(report)
    return folder


def _encode(job: TrainingJob, loaded: LoadedModel) -> Encoded:
    task = tasks.get(job.task)
    data: Encoded = task.encode(
        job.train,
        labels=loaded.labels,
        tokenizer=loaded.tokenizer,
        max_length=job.max_length,
        seed=job.recipe.seed,
    )
    task.check(loaded.model, data)
    return data


def _fine_tune(job: TrainingJob, loaded: LoadedModel, data: Encoded, folder: RunFolder, progress: Progress) -> Training:
    def validate(model: nn.Module) -> float:
        assert job.validation is not None
        found = _evaluate(job, replace(loaded, model=model), job.validation, progress, noise_examples=0)
        score = next(each for each in found.report.quality if each.metric == metric)
        return score.value if score.higher_is_better else -score.value

    metric = tasks.get(job.task).validation_metric
    each_epoch = job.validation is not None and job.validate_each_epoch
    with progress.bar(f"train {job.activation}") as update:

        def on_step(record: StepRecord, total: int) -> None:
            update(record.step, total, f"loss {record.loss:.3f}")

        summary = finetune(
            loaded.model,
            data,
            job.recipe,
            loss=tasks.get(job.task).loss,
            validate=validate if each_epoch else None,
            on_step=on_step,
            log_path=folder.path / TRAINING_LOG,
        )
    return Training(
        metric=metric if each_epoch else None,
        recipe=job.recipe.model_dump() | {"max_length": job.max_length},
        per_seed=[summary],
    )


def _evaluate(
    job: TrainingJob,
    loaded: LoadedModel,
    data: TextExamples,
    progress: Progress,
    noise_examples: int = NOISE_EXAMPLES,
) -> Evaluation:
    with progress.bar(f"evaluate {job.activation}") as update:
        return evaluate_model(
            loaded.model,
            data=data,
            tokenizer=loaded.tokenizer,
            labels=loaded.labels,
            task=job.task,
            batch_size=job.per_device_eval_batch_size,
            max_length=job.max_length,
            seed=job.recipe.seed,
            noise_examples=noise_examples,
            on_batch=lambda done, total: update(done, total, ""),
        )


def _save_model(loaded: LoadedModel, folder: RunFolder) -> None:
    """Save beside the final name, then rename: a crash leaves no half of a model under it."""
    unfinished = folder.path / f".{MODEL}.tmp"
    with writable(folder.model_path), quiet_transformers():
        shutil.rmtree(unfinished, ignore_errors=True)
        save_patched(loaded.model, unfinished)
        loaded.tokenizer.save_pretrained(unfinished)
        shutil.rmtree(folder.model_path, ignore_errors=True)
        unfinished.rename(folder.model_path)


def _report(job: TrainingJob, loaded: LoadedModel, training: Training, started: float) -> Report:
    subject = describe_model(loaded.model)
    warnings = list(loaded.notes)
    if any(run.diverged for run in training.per_seed):
        warnings.append("training diverged: five steps in a row without a finite loss")
    return Report(
        kind="train",
        run_id=uuid.uuid4().hex[:12],
        created=now(),
        duration_s=round(time.perf_counter() - started, 3),
        title=job.activation,
        tool=Tool(version=package_version(DISTRIBUTION) or "", git=git_commit(), command=list(sys.argv)),
        subject=subject.model_copy(update={"model": job.model_label or job.model_name_or_path}),
        data=describe_data(job.train, loaded.tokenizer, loaded.labels),
        training=training,
        environment=Environment(**fingerprint()),
        files={"log": TRAINING_LOG, "config": CONFIG, "model": MODEL},
        warnings=warnings,
    )


def _with_evaluation(report: Report, evaluated: Report) -> Report:
    """The training report, with what was measured on examples that it was not trained on."""
    return report.model_copy(
        update={
            "data": evaluated.data,
            "protocol": evaluated.protocol,
            "quality": evaluated.quality,
            "files": report.files | evaluated.files,
        }
    )
