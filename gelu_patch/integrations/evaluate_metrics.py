"""The metrics of this package as Hugging Face ``evaluate`` metrics, which need no download.

    combined = evaluate.combine([evaluate_metric("accuracy"), evaluate_metric("f1")])
    combined.compute(predictions=[0, 1], references=[0, 1])

``evaluate.load`` fetches a script from the Hub even for accuracy; these run the numpy functions of
``gelu_patch.tasks.metrics``, so both ways give the same number.

The other way round, any ``evaluate`` metric of labels and predictions can be used on the predictions of two runs:

    difference = compare_metric(evaluate.load("path/to/metric.py"), before.predictions, after.predictions)

Its script is not part of the ``evaluate`` package: give a path, or be online. Predictions of a run are whole, however
many processes made them, so one process computes the metric, in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from gelu_patch.errors import DataError, MissingExtra, NotComparable
from gelu_patch.reporting.storage.predictions import IntArray, Predictions
from gelu_patch.stats.resampling import ResampledDifference, paired_percentile
from gelu_patch.tasks.metrics import Metric, metrics


def evaluate_metric(name: str, *, n_classes: int | None = None, **options: Any) -> Any:
    """Return a registered metric as an ``evaluate.Metric``.

    Its ``compute(predictions=..., references=...)`` takes class numbers ``(n,)`` and returns ``{name: value}``.
    ``n_classes`` is needed only when the largest class occurs neither among predictions nor references.
    ``options`` go to ``evaluate.Metric``, such as ``cache_dir`` or ``keep_in_memory=True``.

    Raises UnknownName, and MissingExtra when evaluate is not installed.
    """
    return _metric_class(metrics.get(name))(n_classes=n_classes, **options)


@cache
def _metric_class(metric: Metric) -> type[Any]:
    """Return the subclass of ``evaluate.Metric`` for one metric; made late, as the import takes seconds."""
    try:
        import datasets
        import evaluate
    except ImportError as error:
        raise MissingExtra.of("evaluate", "evaluate", "an evaluate.Metric") from error

    class PackagedMetric(evaluate.Metric):  # type: ignore[misc]  # evaluate is untyped
        def __init__(self, *, n_classes: int | None = None, **options: Any) -> None:
            super().__init__(**options)
            self.n_classes = n_classes

        def _info(self) -> Any:
            classes = {side: datasets.Value("int64") for side in ("predictions", "references")}
            return evaluate.MetricInfo(
                description=metric.description,
                citation="",
                inputs_description="predictions and references: class numbers",
                features=datasets.Features(classes),
            )

        def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
            predictions, references = np.asarray(predictions), np.asarray(references)
            n_classes = self.n_classes or max(2, int(max(predictions.max(), references.max())) + 1)
            return {metric.name: metric.compute(references, predictions, n_classes)}

    # evaluate makes a metric's name, and its cache folder, from the name of its class.
    PackagedMetric.__name__ = PackagedMetric.__qualname__ = metric.name.title().replace("_", "")
    return PackagedMetric


def compute_metric(metric: Any, predictions: Predictions, *, key: str | None = None, **options: Any) -> float:
    """Return what an ``evaluate`` metric says about the predictions of one run.

    ``metric`` has ``compute(predictions=..., references=...)``, as ``evaluate.Metric`` has, or is the name of a
    registered metric; ``options`` go to it, such as ``average="macro"``. ``key`` names the number in its answer, where
    there are several. Raises DataError for a language model, which predicts no classes, and for an answer without
    such a number.
    """
    return _function(metric, key, options)(predictions.class_labels, predictions.pred)


def compare_metric(
    metric: Any,
    before: Predictions,
    after: Predictions,
    *,
    key: str | None = None,
    resamples: int = 1_000,
    seed: int = 0,
    **options: Any,
) -> ResampledDifference:
    """Compare two runs by an ``evaluate`` metric, with the paired bootstrap interval of the difference.

    For the arguments see ``compute_metric``. Groups of examples are resampled whole. Raises NotComparable when the runs
    have other examples or labels.
    """
    if before.ids != after.ids or not np.array_equal(before.class_labels, after.class_labels):
        raise NotComparable(
            "the runs were evaluated on different examples", next_step="evaluate both arms on the same file"
        )
    return paired_percentile(
        _function(metric, key, options),
        before.class_labels,
        before.pred,
        after.pred,
        groups=before.group_id,
        resamples=resamples,
        seed=seed,
    )


def _function(metric: Any, key: str | None, options: dict[str, Any]) -> Callable[[IntArray, IntArray], float]:
    if isinstance(metric, str):
        metric = evaluate_metric(metric, keep_in_memory=True)
    # ``compute`` of evaluate.Metric writes its arguments to a cache first; a thousand resamples should not.
    compute = getattr(metric, "_compute", None) or metric.compute

    def value(labels: IntArray, predictions: IntArray) -> float:
        answer = compute(predictions=predictions.tolist(), references=labels.tolist(), **options)
        numbers = {name: number for name, number in answer.items() if np.isscalar(number) or np.ndim(number) == 0}
        name = key or next(iter(numbers), None)
        if name not in numbers or (key is None and len(numbers) > 1):
            raise DataError(
                "this metric gives no single number" if key is None else f"this metric gives no number {key!r}",
                why=f"its answer has {', '.join(map(repr, answer))}",
                next_step="name one of them: key=NAME",
            )
        return float(numbers[name])

    return value
