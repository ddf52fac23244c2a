"""The samples that lm-eval logs, as predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gelu_patch.errors import DataError
from gelu_patch.reporting.schema import Quality
from gelu_patch.reporting.storage.predictions import Predictions, digest
from gelu_patch.stats.bootstrap import percentile_mean
from gelu_patch.stats.single import wilson_interval
from gelu_patch.tasks.data import shorten
from gelu_patch.tasks.token_losses import document_quality

# Right or wrong first; the last is (log-likelihood, number of words) of a text.
METRICS = ("acc", "exact_match", "word_perplexity")


@dataclass(frozen=True)
class Sample:
    """One logged sample of ``task``; ``row`` is what lm-eval logged."""

    task: str
    row: dict[str, Any]

    @property
    def id(self) -> str:
        """The task, the number and the content of the document: the same in both arms, or the arms saw other data."""
        return f"{self.task}:{self.row['doc_id']}:{self.row['doc_hash'][:12]}"

    @property
    def question_sha256(self) -> str:
        """Hash of the document, the prompt and the target."""
        return digest([self.row.get(name) for name in ("doc_hash", "prompt_hash", "target_hash")])

    @property
    def text(self) -> str:
        """The beginning of the prompt, for people to read."""
        arguments: Any = self.row.get("arguments") or {}
        while isinstance(arguments, dict | list | tuple) and arguments:
            arguments = next(iter(arguments.values() if isinstance(arguments, dict) else arguments))
        return shorten(str(arguments))

    @property
    def choices(self) -> tuple[list[float], int] | None:
        """The log-likelihoods of the choices and the number of the right one, where that is what ``acc`` says."""
        answers, target = self.row.get("filtered_resps"), self.row.get("target")
        try:
            scores, right = [float(score) for score, _ in answers or ()], int(str(target))
        except (TypeError, ValueError):
            return None
        usable = len(scores) > 1 and 0 <= right < len(scores)
        return (scores, right) if usable and (int(np.argmax(scores)) == right) == bool(self.row.get("acc")) else None


def predictions_of(samples: Sequence[Sample], metric: str | None = None) -> Predictions:
    """Return the samples as predictions; see ``evaluate_with_lm_eval``.

    Multiple choice keeps the log-likelihoods as logits, when all samples have as many choices; other tasks keep
    whether the answer was right, as class 1 or 0; texts keep their loss per word.
    """
    known = [name for name in METRICS if all(name in sample.row for sample in samples)]
    metric = metric or next(iter(known), None)
    if metric is None or not all(metric in sample.row for sample in samples):
        raise DataError(
            "these lm-eval samples cannot be compared" + (f" by {metric!r}" if metric else ""),
            why=f"the metrics of a sample are {', '.join(samples[0].row.get('metrics', ()))}",
            next_step="name one that is right or wrong for each sample: metric=NAME",
        )
    shared: dict[str, Any] = {"ids": [sample.id for sample in samples], "text": [sample.text for sample in samples]}
    if metric.endswith("perplexity"):
        return Predictions(**shared, **_losses([sample.row[metric] for sample in samples], metric))
    choices = [sample.choices for sample in samples] if metric == "acc" else [None]
    if all(each is not None for each in choices) and len({len(each[0]) for each in choices if each}) == 1:
        scores, right = zip(*(each for each in choices if each), strict=True)
        return Predictions(**shared, label=np.array(right, np.int64), logits=np.array(scores, np.float32))
    values = [sample.row[metric] for sample in samples]
    if not all(isinstance(value, int | float | np.number) and value in (0, 1) for value in values):
        raise DataError(
            f"the metric {metric!r} is neither right or wrong nor a perplexity",
            why=f"a sample has the value {next(v for v in values if v not in (0, 1))!r}",
            next_step="name another one: metric=NAME",
        )
    chosen = np.array(values, np.float64).astype(np.int64)
    return Predictions(**shared, label=np.ones(len(samples), np.int64), choice=chosen)


def _losses(values: Sequence[Any], metric: str) -> dict[str, Any]:
    try:
        loss, n = np.array(values, np.float64).T
    except ValueError as error:
        raise DataError(f"the metric {metric!r} has no weight for each sample", why=str(error)) from error
    return {"losses": -loss / n, "n_tokens": n.astype(np.int64)}


def quality_of(predictions: Predictions) -> list[Quality]:
    """Return the share of right answers and, where it is known, the mean loss, with 95 % intervals."""
    if predictions.is_language_model:
        return document_quality(predictions, "perplexity")
    n, right = len(predictions), predictions.correct
    quality = [Quality(metric="accuracy", value=float(right.mean()), n=n)]
    quality[0].ci, quality[0].ci_method = wilson_interval(int(right.sum()), n), "wilson"
    if predictions.has_nll:
        losses = predictions.nll
        interval = percentile_mean(losses)
        quality.append(
            Quality(
                metric="nll",
                higher_is_better=False,
                value=float(losses.mean()),
                ci=interval,
                ci_method="percentile bootstrap",
                n=n,
            )
        )
    return quality
