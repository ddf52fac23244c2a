"""Metrics of a classifier, in plain numpy; a new one is one function and one registration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gelu_patch.registry import Registry

Classes = npt.ArrayLike


@dataclass(frozen=True)
class Metric:
    """A number between labels and predictions, both ``(n,)`` class numbers; larger is better.

    ``compute(labels, predictions, n_classes)`` returns a fraction, not percent. The number of classes is that
    of the task, which a small set of examples need not show.
    """

    name: str
    description: str
    compute: Callable[[Classes, Classes, int], float]


metrics: Registry[Metric] = Registry("metric")


def confusion_matrix(labels: Classes, predictions: Classes, n_classes: int) -> npt.NDArray[np.float64]:
    """Return the counts ``(n_classes, n_classes)``: row is the label, column the prediction."""
    pairs = np.asarray(labels, dtype=np.int64) * n_classes + np.asarray(predictions, dtype=np.int64)
    return np.bincount(pairs, minlength=n_classes**2).reshape(n_classes, n_classes).astype(np.float64)


def accuracy(labels: Classes, predictions: Classes, n_classes: int) -> float:
    """Return the fraction of right predictions."""
    return float(np.mean(np.asarray(labels) == np.asarray(predictions)))


def f1(labels: Classes, predictions: Classes, n_classes: int) -> float:
    """Return F1 of class 1 for two classes, else the mean over the classes that occur (macro).

    A class that is never right scores 0.
    """
    counts = confusion_matrix(labels, predictions, n_classes)
    twice_right = 2 * counts.diagonal()
    occurrences = counts.sum(axis=0) + counts.sum(axis=1)
    scores = np.divide(twice_right, occurrences, out=np.zeros(n_classes), where=occurrences > 0)
    return float(scores[1] if n_classes == 2 else scores[occurrences > 0].mean())


def matthews_correlation(labels: Classes, predictions: Classes, n_classes: int) -> float:
    """Return Matthews' correlation, in its form for any number of classes; 0 when either side is constant."""
    counts = confusion_matrix(labels, predictions, n_classes)
    total, right = counts.sum(), counts.trace()
    predicted, actual = counts.sum(axis=0), counts.sum(axis=1)
    variances = (total**2 - predicted @ predicted) * (total**2 - actual @ actual)
    return float((right * total - predicted @ actual) / np.sqrt(variances)) if variances > 0 else 0.0


metrics.register(Metric("accuracy", "fraction of right predictions", accuracy))
metrics.register(Metric("f1", "F1 of class 1 for two classes, else macro F1", f1))
metrics.register(
    Metric("matthews_correlation", "Matthews' correlation coefficient", matthews_correlation),
    aliases=("mcc",),
)
