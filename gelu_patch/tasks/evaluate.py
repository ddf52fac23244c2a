"""Evaluate one model on examples: one report, and one prediction per example."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gelu_patch.environment import fingerprint
from gelu_patch.errors import DataError
from gelu_patch.reporting.schema import Data, Environment, Protocol, Report, SeedRun, Subject, Tool, Training
from gelu_patch.reporting.storage.drift import Drift
from gelu_patch.reporting.storage.predictions import Predictions
from gelu_patch.reporting.storage.run_folder import DRIFT, NOISE, PREDICTIONS, RunFolder, now
from gelu_patch.tasks.answers import Answers, AnswerSheet
from gelu_patch.tasks.base import DEFAULT_TASK, Encoded, Task, tasks
from gelu_patch.tasks.data import TextExamples, read_examples
from gelu_patch.tasks.describe import describe_data, describe_model
from gelu_patch.tasks.inference import answered_batches, length_sorted_batches, positions_of
from gelu_patch.tasks.labels import LabelMap
from gelu_patch.tasks.noise import NOISE_EXAMPLES, hidden_states, noise_predictions

OnBatch = Callable[[int, int], None]


@dataclass(frozen=True)
class Evaluation:
    """The outcome of ``evaluate_model``: the report, and the predictions that its numbers come from.

    ``noise`` are some of the predictions again, in other batches and by another number of threads, and ``drift`` the
    hidden states of a few examples in both ways: how far the same model is from itself.
    """

    report: Report
    predictions: Predictions
    noise: Predictions | None = None
    drift: Drift | None = None

    def save(self, path: str | Path, *, overwrite: bool = False) -> RunFolder:
        """Write a run folder. Raises OutputExists when another run is there and not ``overwrite``."""
        folder = RunFolder.create(path, overwrite=overwrite)
        self.write(folder)
        return folder

    def write(self, folder: RunFolder) -> None:
        """Write the files of this evaluation into ``folder``, the report last."""
        folder.write_predictions(self.predictions)
        folder.write_noise(self.noise)
        folder.write_drift(self.drift)
        folder.write_report(self.report)


@dataclass(frozen=True)
class Prepared:
    """An evaluation that is ready to run: everything that can be wrong with the request is known.

    ``layout`` are the batches, as items; they follow from the data and the batch size alone.
    """

    model: nn.Module
    task: Task
    encoded: Encoded
    labels: LabelMap | None
    subject: Subject
    data: Data
    protocol: Protocol
    layout: list[list[int]]
    warnings: tuple[str, ...]

    def run(self, numbers: Iterable[int]) -> Iterable[tuple[int, list[int], Answers]]:
        """Run the batches with these numbers; yield each number with its items and their answers."""
        numbers = list(numbers)
        batches = answered_batches(self.task.answer, self.model, self.encoded, [self.layout[i] for i in numbers])
        for number, (indices, answers) in zip(numbers, batches, strict=True):
            yield number, indices, answers

    def finish(self, answers: AnswerSheet, *, started: float, noise_examples: int = NOISE_EXAMPLES) -> Evaluation:
        """Make the report from all answers, after the numeric-noise arm on ``noise_examples`` of them."""
        predictions = self.task.predictions(self.encoded, answers.complete(), seed=self.protocol.seed)
        predictions.require_finite()
        batch_size = self.protocol.batch_size or 1
        noise = drift = None
        if noise_examples:
            noise = noise_predictions(self.task, self.model, self.encoded, predictions, batch_size, noise_examples)
            drift = hidden_states(self.model, self.encoded, batch_size)
        report = Report(
            kind="eval",
            run_id=uuid.uuid4().hex[:12],
            created=now(),
            duration_s=round(time.perf_counter() - started, 3),
            tool=Tool.here(),
            subject=self.subject,
            data=self.data,
            protocol=self.protocol,
            quality=self.task.quality(predictions, self.labels),
            environment=Environment(**fingerprint()),
            files={"predictions": PREDICTIONS}
            | ({"noise": NOISE} if noise is not None else {})
            | ({"drift": DRIFT} if drift is not None else {}),
            warnings=list(self.warnings),
        )
        return Evaluation(report, predictions, noise, drift)


def evaluate_model(
    model: nn.Module,
    *,
    data: TextExamples | str | Path | Any,
    tokenizer: Any,
    labels: LabelMap | None = None,
    task: str = DEFAULT_TASK,
    batch_size: int = 32,
    max_length: int | None = None,
    stride: int | None = None,
    seed: int | None = None,
    data_seed: int = 0,
    noise_examples: int = NOISE_EXAMPLES,
    training: SeedRun | None = None,
    on_batch: OnBatch | None = None,
) -> Evaluation:
    """Run ``model`` over ``data`` in evaluation mode and measure its quality; the model is left as it was.

    ``data`` are examples, or what ``read_examples`` reads: a file, a ``datasets`` folder or a ``datasets.Dataset``.
    ``labels`` are the classes in the order of the logits, by default those of ``model.config``. ``max_length`` is by
    default the task's, or what the model takes if that is less; ``stride`` is for tasks that cut documents into
    windows. ``training`` is what ``finetune`` returned for this model: models that were trained apart are compared only
    if their reports say so. ``seed`` is that of the training, where only that is known; ``data_seed`` decides which
    tokens are hidden. ``noise_examples`` are predicted again in other batches. ``on_batch`` is called with (items done,
    all).

    Raises DataError for labels that the model does not know, UnsupportedModel when the model cannot do this task,
    and InvalidMeasurement when it answers with NaN or infinity.
    """
    started = time.perf_counter()
    prepared = prepare(
        model,
        data=data,
        tokenizer=tokenizer,
        labels=labels,
        task=task,
        batch_size=batch_size,
        max_length=max_length,
        stride=stride,
        seed=seed if training is None else training.seed,
        data_seed=data_seed,
    )
    sheet = AnswerSheet(len(prepared.encoded))
    for _, indices, answers in prepared.run(range(len(prepared.layout))):
        sheet.put(indices, answers)
        if on_batch is not None:
            on_batch(sheet.done, sheet.n)
    evaluation = prepared.finish(sheet, started=started, noise_examples=noise_examples)
    if training is not None:
        evaluation.report.training = Training(per_seed=[training])
    return evaluation


def prepare(
    model: nn.Module,
    *,
    data: TextExamples | str | Path | Any,
    tokenizer: Any,
    labels: LabelMap | None = None,
    task: str = DEFAULT_TASK,
    batch_size: int = 32,
    max_length: int | None = None,
    stride: int | None = None,
    seed: int | None = None,
    data_seed: int = 0,
) -> Prepared:
    """Read and encode the data and describe the model; see ``evaluate_model`` for arguments and errors."""
    kind = tasks.get(task)
    data = data if isinstance(data, TextExamples) else read_examples(data, labelled=kind.labelled)
    if kind.labelled and labels is None:
        labels = _labels_of(model)
    limit = min(max_length or kind.default_max_length, positions_of(model) or kind.default_max_length)
    encoded = kind.encode(data, labels=labels, tokenizer=tokenizer, max_length=limit, stride=stride, seed=data_seed)
    kind.check(model, encoded)
    protocol = Protocol(
        task=task,
        batch_size=batch_size,
        padding="longest",
        max_length=limit,
        stride=stride,
        seed=seed,
        data_seed=data_seed,
        deterministic=torch.are_deterministic_algorithms_enabled(),
    )
    return Prepared(
        model,
        kind,
        encoded,
        labels,
        describe_model(model),
        describe_data(data, tokenizer, labels, encoded.questions_sha256),
        protocol,
        length_sorted_batches(encoded.lengths, batch_size),
        tuple(_warnings(model)),
    )


def _warnings(model: nn.Module) -> list[str]:
    if any(module.training for module in model.modules()):
        return ["the model was in training mode; it was evaluated in evaluation mode, without dropout"]
    return []


def _labels_of(model: nn.Module) -> LabelMap:
    id2label = getattr(getattr(model, "config", None), "id2label", None)
    if not id2label:
        raise DataError(
            f"{type(model).__name__} does not say which classes it knows",
            why="it has no config.id2label",
            next_step="pass labels=LabelMap.from_examples(training_examples)",
        )
    return LabelMap.from_config(id2label)
