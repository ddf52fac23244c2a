"""The metrics of this package as Hugging Face ``evaluate`` metrics, which need no download.

    combined = evaluate.combine([evaluate_metric("accuracy"), evaluate_metric("f1")])
    combined.compute(predictions=[0, 1], references=[0, 1])

``evaluate.load`` fetches a script from the Hub even for accuracy; these run the numpy functions of
``gelu_patch.tasks.metrics``, so both ways give the same number.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from gelu_patch.errors import MissingExtra
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
