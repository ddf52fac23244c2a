"""One training run: load, patch, fine-tune, save, evaluate, report."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from gelu_patch.errors import Interrupted, InvalidMeasurement
from gelu_patch.patching import check_ranks, save_patched
from gelu_patch.reporting.schema import Memory, SeedRun, Training
from gelu_patch.reporting.storage.files import writable, write_text
from gelu_patch.reporting.storage.run_folder import CONFIG, MODEL, TRAINING_LOG, RunFolder
from gelu_patch.runs.progress import Progress, Silent
from gelu_patch.runs.training_job import TrainingJob, load_for_training, prepare_model
from gelu_patch.runs.training_memory import step_memory
from gelu_patch.runs.training_report import training_report, with_evaluation
from gelu_patch.tasks.base import Encoded, LoadedModel, tasks
from gelu_patch.tasks.data import TextExamples
from gelu_patch.tasks.evaluate import Evaluation, evaluate_model
from gelu_patch.tasks.loading import quiet_transformers
from gelu_patch.tasks.noise import NOISE_EXAMPLES
from gelu_patch.tasks.weights import weights_sha256
from gelu_patch.training.accelerator import accelerator_for, check_can_train
from gelu_patch.training.identity import describe
from gelu_patch.training.log import StepRecord
from gelu_patch.training.loop import finetune
from gelu_patch.training.processes import Processes
from gelu_patch.training.saving import CHECKPOINTS, Saving
from gelu_patch.training.settings import Checkpointing, Tracking
from gelu_patch.training.state import is_sharded, whole_weights
from gelu_patch.training.trackers import Trackers, check_tracking

__all__ = ["TrainingJob", "load_for_training", "train_run"]

NO_CHECKPOINTS = Checkpointing(checkpointing_steps="no")
NO_TRACKING = Tracking()


def train_run(
    job: TrainingJob,
    output_dir: str | Path,
    *,
    overwrite: bool = False,
    checkpointing: Checkpointing = NO_CHECKPOINTS,
    tracking: Tracking = NO_TRACKING,
    progress: Progress | None = None,
) -> RunFolder:
    """Run ``job`` and write its run folder; the report is written last, so a folder with one is complete.

    With ``checkpointing``, an interrupted run of the same job in ``output_dir`` goes on from its newest checkpoint.
    In several processes all must call it, and the first one writes.

    Raises OutputExists when the folder holds another run and not ``overwrite``; UsageError when it holds checkpoints
    of another job; Interrupted on Ctrl-C.
    """
    check_can_train(job.recipe)
    check_tracking(tracking)
    with accelerator_for(job.recipe) as accelerator:
        processes = Processes.here()
        folder = RunFolder(output_dir)
        processes.first_only(lambda: folder.check_free(overwrite=overwrite))
        run = _Run(job, folder, accelerator, processes, checkpointing, tracking, progress or Silent())
        return run.go(overwrite=overwrite)


@dataclass
class _Run:
    job: TrainingJob
    folder: RunFolder
    accelerator: Any
    processes: Processes
    checkpointing: Checkpointing
    tracking: Tracking
    progress: Progress
    notes: list[str] = field(default_factory=list)

    def go(self, *, overwrite: bool) -> RunFolder:
        """Do all of it; see ``train_run``."""
        started = time.perf_counter()
        loaded = prepare_model(self.job, self.accelerator.device)
        check_ranks(loaded.model)
        data = self._encode(loaded)
        about = {**self.job.identity(), "weights_sha256": weights_sha256(loaded.model)}
        # Everything that can be wrong with the request is known by now: only then is anything written.
        saving = self._begin(loaded, data, about, overwrite=overwrite)
        summary = self._fine_tune(loaded, data, saving, about)
        if is_sharded(loaded.model):
            loaded = self._gathered(loaded)
        self.processes.first_only(lambda: self._finish(loaded, data, summary, started))
        return self.folder

    def _encode(self, loaded: LoadedModel) -> Encoded:
        job, task = self.job, tasks.get(self.job.task)
        data: Encoded = task.encode_for_training(
            job.train,
            labels=loaded.labels,
            tokenizer=loaded.tokenizer,
            max_length=job.max_length,
            seed=job.recipe.seed,
        )
        task.check(loaded.model, data)
        return data

    def _begin(self, loaded: LoadedModel, data: Encoded, about: dict[str, Any], *, overwrite: bool) -> Saving | None:
        """Make the folder ready: empty, or as an interrupted run left it."""
        saving, checkpoints = None, self.folder.path / CHECKPOINTS
        if overwrite:
            self.processes.first_only(lambda: _remove(checkpoints))
        if self.checkpointing.every is not None:
            source = self.checkpointing.source(self.folder.path)
            saving = Saving(checkpoints, self.checkpointing.every, self.checkpointing.save_total_limit, source)
            identity = describe(loaded.model, self.job.recipe, self.processes.count, list(data.lengths), **about)
            start = saving.start(identity, self.processes)
            self.notes.extend(start.notes)
            for note in start.notes if self.processes.is_first else ():
                self.progress.note(note)
        self.processes.first_only(lambda: self._make_folder(overwrite=overwrite))
        return saving

    def _make_folder(self, *, overwrite: bool) -> None:
        folder = RunFolder.create(self.folder.path, overwrite=overwrite)
        write_text(folder.path / CONFIG, yaml.safe_dump(self.job.describe(), sort_keys=False))

    def _fine_tune(self, loaded: LoadedModel, data: Encoded, saving: Saving | None, about: dict[str, Any]) -> SeedRun:
        job = self.job
        trackers = Trackers(self.accelerator, self.tracking, self.folder.path, job.recipe.model_dump())
        try:
            with self.progress.bar(f"train {job.activation}, seed {job.recipe.seed}") as update:

                def on_step(record: StepRecord, total: int) -> None:
                    rate = 1 / max(record.seconds, 1e-4)
                    update(record.step, total, f"loss {record.loss:.3f}  {rate:.2f} it/s")
                    trackers.log(record)

                return finetune(
                    loaded.model,
                    data,
                    job.recipe,
                    loss=tasks.get(job.task).loss,
                    validate=self._validation(loaded),
                    on_step=on_step,
                    log_path=self.folder.path / TRAINING_LOG,
                    saving=saving,
                    about=about,
                )
        except KeyboardInterrupt as error:
            raise Interrupted(
                f"training of {self.folder.path} was stopped",
                why=f"the steps so far are in {TRAINING_LOG}; there is no model and no report yet",
                next_step="run the same command again: it goes on from the last checkpoint, if there is one",
            ) from error
        finally:
            trackers.close()

    def _validation(self, loaded: LoadedModel) -> Callable[[nn.Module], float] | None:
        job, metric = self.job, tasks.get(self.job.task).validation_metric
        if job.validation is None or not job.validate_each_epoch:
            return None
        examples = job.validation

        def validate(model: nn.Module) -> float:
            found = self._evaluate(replace(loaded, model=model), examples, noise_examples=0)
            score = next(each for each in found.report.quality if each.metric == metric)
            return score.value if score.higher_is_better else -score.value

        return validate

    def _gathered(self, loaded: LoadedModel) -> LoadedModel:
        """Return the trained model whole, for the first process to save and evaluate alone."""
        weights = whole_weights(loaded.model)
        if not self.processes.is_first:
            return loaded
        whole = prepare_model(self.job, self.accelerator.device)
        whole.model.load_state_dict(weights)
        return whole

    def _finish(self, loaded: LoadedModel, data: Encoded, summary: SeedRun, started: float) -> None:
        """Save the model, evaluate it, and write the report last."""
        job, folder = self.job, self.folder
        _save_model(loaded, folder)
        training = Training(
            metric=tasks.get(job.task).validation_metric if job.validation and job.validate_each_epoch else None,
            recipe=job.recipe.model_dump(mode="json") | {"max_length": job.max_length},
            per_seed=[summary],
            processes=self.processes.count,
        )
        memory = self._step_memory(loaded, data)
        report = training_report(job, loaded, training, memory, self.notes, started)
        try:
            if job.validation is not None:
                evaluation = self._evaluate(loaded, job.validation)
                folder.write_predictions(evaluation.predictions)
                folder.write_noise(evaluation.noise)
                folder.write_drift(evaluation.drift)
                report = with_evaluation(report, evaluation.report)
        except InvalidMeasurement as error:
            report.warnings.append(error.what)
            folder.write_report(report)
            raise
        folder.write_report(report)

    def _step_memory(self, loaded: LoadedModel, data: Encoded) -> list[Memory]:
        job = self.job
        try:
            found = step_memory(
                loaded.model,
                data,
                job.recipe,
                tasks.get(job.task).loss,
                processes=self.processes.count,
                autocast=self.accelerator.autocast,
            )
        except RuntimeError as error:  # a model may forbid saved-tensor hooks, and its training is done
            why = str(error).splitlines()[0]
            self.notes.append(f"what a training step keeps for its backward was not counted: {why}")
            return []
        return [found]

    def _evaluate(self, loaded: LoadedModel, data: TextExamples, noise_examples: int = NOISE_EXAMPLES) -> Evaluation:
        job = self.job
        with self.progress.bar(f"evaluate {job.activation}") as update:
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


def _remove(directory: Path) -> None:
    with writable(directory):
        shutil.rmtree(directory, ignore_errors=True)


def _save_model(loaded: LoadedModel, folder: RunFolder) -> None:
    """Save beside the final name, then rename: a crash leaves no half of a model under it."""
    unfinished = folder.path / f".{MODEL}.tmp"
    with writable(folder.model_path), quiet_transformers():
        shutil.rmtree(unfinished, ignore_errors=True)
        save_patched(loaded.model, unfinished)
        loaded.tokenizer.save_pretrained(unfinished)
        if hasattr(loaded.model, "get_base_model"):  # an adapter: its head is told by the configuration of its base
            loaded.model.get_base_model().config.save_pretrained(unfinished)
        shutil.rmtree(folder.model_path, ignore_errors=True)
        unfinished.rename(folder.model_path)
