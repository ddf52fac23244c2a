"""Metrics of a classifier, in plain numpy; a new one is one function and one registration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy.typing as npt

from gelu_patch.registry import Registry
from gelu_patch.stats.counts import CountMetric, accuracy_of, f1_of, marginals, matthews_of

Classes = npt.ArrayLike


@dataclass(frozen=True)
class Metric:
    """A number between labels and predictions, both ``(n,)`` class numbers; larger is better.

    ``compute(labels, predictions, n_classes)`` returns a fraction, not percent. The number of classes is that
    of the task, which a small set of examples need not show. ``of_counts`` is the same number from the counts per
    class, where they determine it: then it has an interval.
    """

    name: str
    description: str
    compute: Callable[[Classes, Classes, int], float]
    of_counts: CountMetric | None = None


metrics: Registry[Metric] = Registry("metric")


def counted(name: str, description: str, of_counts: CountMetric) -> Metric:
    """Return the metric that follows from the counts per class."""

    def compute(labels: Classes, predictions: Classes, n_classes: int) -> float:
        return float(of_counts(marginals(labels, predictions, n_classes)))

    return Metric(name, description, compute, of_counts)


metrics.register(counted("accuracy", "fraction of right predictions", accuracy_of))
metrics.register(counted("f1", "F1 of class 1 for two classes, else macro F1", f1_of))
metrics.register(
    counted("matthews_correlation", "Matthews' correlation coefficient", matthews_of),
    aliases=("mcc",),
)
