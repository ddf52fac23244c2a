"""Evaluate one model on labelled examples: one report, and one prediction per example."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gelu_patch.environment import DISTRIBUTION, fingerprint, git_commit, package_version
from gelu_patch.errors import DataError
from gelu_patch.kernels import kernels
from gelu_patch.patching import current_plan
from gelu_patch.reporting.predictions import Predictions
from gelu_patch.reporting.run_folder import PREDICTIONS, RunFolder, now
from gelu_patch.reporting.schema import (
    Data,
    Environment,
    PatchedSite,
    PatchSummary,
    Protocol,
    Quality,
    Report,
    Subject,
    Tool,
)
from gelu_patch.sites import inspect_model
from gelu_patch.stats.bootstrap import percentile_mean
from gelu_patch.stats.counts import count_interval
from gelu_patch.stats.single import wilson_interval
from gelu_patch.tasks.base import DEFAULT_TASK, tasks
from gelu_patch.tasks.data import TextExamples, read_examples
from gelu_patch.tasks.encoding import tokenizer_sha256
from gelu_patch.tasks.labels import LabelMap
from gelu_patch.tasks.metrics import metrics
from gelu_patch.tasks.weights import weights_sha256


@dataclass(frozen=True)
class Evaluation:
    """The outcome of ``evaluate_model``: the report, and the predictions that its numbers come from."""

    report: Report
    predictions: Predictions

    def save(self, path: str | Path, *, overwrite: bool = False) -> RunFolder:
        """Write a run folder. Raises OutputExists when another run is there and not ``overwrite``."""
        folder = RunFolder.create(path, overwrite=overwrite)
        folder.write_predictions(self.predictions)
        folder.write_report(self.report)
        return folder


def evaluate_model(
    model: nn.Module,
    *,
    data: TextExamples | str | Path | Any,
    tokenizer: Any,
    labels: LabelMap | None = None,
    task: str = DEFAULT_TASK,
    batch_size: int = 32,
    max_length: int = 128,
    seed: int | None = None,
    on_batch: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Run ``model`` over ``data`` in evaluation mode and measure its quality; the model is left as it was.

    ``data`` are examples, or what ``read_examples`` reads: a file, a ``datasets`` folder or a ``datasets.Dataset``.
    ``labels`` are the classes in the order of the logits, by default those of ``model.config``. ``seed`` says
    which training run made the model, for the report. ``on_batch`` is called with (examples done, examples
    in all).

    Raises DataError for labels that the model does not know, UnsupportedModel when the model is no classifier
    of these classes, and InvalidMeasurement when it answers with NaN or infinity.
    """
    started = time.perf_counter()
    data = data if isinstance(data, TextExamples) else read_examples(data)
    labels = labels or _labels_of(model)
    kind = tasks.get(task)
    encoded = kind.encode(data, labels=labels, tokenizer=tokenizer, max_length=max_length)
    predictions = kind.predict(model, encoded, batch_size=batch_size, seed=seed, on_batch=on_batch)
    predictions.require_finite()
    report = Report(
        kind="eval",
        run_id=uuid.uuid4().hex[:12],
        created=now(),
        duration_s=round(time.perf_counter() - started, 3),
        tool=Tool(version=package_version(DISTRIBUTION) or "", git=git_commit()),
        subject=describe_model(model),
        data=describe_data(data, tokenizer, labels),
        protocol=Protocol(
            batch_size=batch_size,
            padding="longest",
            max_length=max_length,
            seed=seed,
            deterministic=torch.are_deterministic_algorithms_enabled(),
        ),
        quality=measure_quality(predictions, len(labels)),
        environment=Environment(**fingerprint()),
        files={"predictions": PREDICTIONS},
    )
    return Evaluation(report, predictions)


def measure_quality(predictions: Predictions, n_classes: int) -> list[Quality]:
    """Return every registered metric and the mean negative log-likelihood (natural log) of the labels.

    With 95 % intervals: Wilson's for accuracy, the percentile bootstrap, on counts or on the losses, for the others.
    """
    n, label, pred = len(predictions), predictions.class_labels, predictions.pred
    quality = []
    for each in metrics:
        found = Quality(metric=each.name, value=each.compute(label, pred, n_classes), n=n)
        if each.name == "accuracy":
            found.ci, found.ci_method = wilson_interval(int(predictions.correct.sum()), n), "wilson"
        elif each.of_counts:
            found.ci = count_interval(label, pred, n_classes, each.of_counts, groups=predictions.group_id)
            found.ci_method = "percentile bootstrap"
        quality.append(found)
    losses = predictions.nll
    nll = Quality(metric="nll", higher_is_better=False, value=float(losses.mean()), n=n)
    nll.ci, nll.ci_method = percentile_mean(losses), "percentile bootstrap"
    return [*quality, nll]


def describe_model(model: nn.Module) -> Subject:
    """Return the report's section on the model and its patch; ``params`` counts shared parameters once."""
    config = getattr(model, "config", None)
    parameters = list(model.parameters())
    return Subject(
        model=str(getattr(config, "_name_or_path", "") or type(model).__name__),
        revision=getattr(config, "_commit_hash", None),
        weights_sha256=weights_sha256(model),
        architecture=type(model).__name__,
        dtype=str(parameters[0].dtype).removeprefix("torch.") if parameters else "",
        params=sum(parameter.numel() for parameter in parameters),
        patch=describe_patch(model),
    )


def describe_patch(model: nn.Module) -> PatchSummary:
    """Return what is patched on ``model`` right now, site by site."""
    plan = current_plan(model)
    return PatchSummary(
        target=plan.target,
        n_patched=len(plan.changes),
        n_sites=len(inspect_model(model)),
        plan=[
            PatchedSite(
                site=change.site,
                from_=change.before,
                to=change.after,
                kernel=change.kernel,
                kernel_version=kernels.get(change.kernel).version,
            )
            for change in plan.changes
        ],
    )


def describe_data(data: TextExamples, tokenizer: Any, labels: LabelMap) -> Data:
    """Return the report's section on the examples, with the hashes that ``compare`` checks."""
    return Data(
        source=data.source,
        name=data.name,
        n=len(data),
        labels=list(labels.names),
        ids_sha256=data.ids_sha256,
        inputs_sha256=data.inputs_sha256,
        tokenizer_sha256=tokenizer_sha256(tokenizer),
    )


def _labels_of(model: nn.Module) -> LabelMap:
    id2label = getattr(getattr(model, "config", None), "id2label", None)
    if not id2label:
        raise DataError(
            f"{type(model).__name__} does not say which classes it knows",
            why="it has no config.id2label",
            next_step="pass labels=LabelMap.from_examples(training_examples)",
        )
    return LabelMap.from_config(id2label)
