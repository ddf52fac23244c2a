"""What one arm's predictions of classes are worth."""

from __future__ import annotations

from gelu_patch.reporting.predictions import Predictions
from gelu_patch.reporting.schema import Quality
from gelu_patch.stats.bootstrap import percentile_mean
from gelu_patch.stats.single import wilson_interval
from gelu_patch.tasks.metrics import metrics


def measure_quality(predictions: Predictions, n_classes: int) -> list[Quality]:
    """Return every registered metric and the mean negative log-likelihood (natural log) of the labels.

    Accuracy carries its 95 % Wilson interval, the mean loss its percentile bootstrap interval; F1 and Matthews have
    none yet.
    """
    n = len(predictions)
    quality = [
        Quality(metric=each.name, value=each.compute(predictions.class_labels, predictions.pred, n_classes), n=n)
        for each in metrics
    ]
    for each in quality:
        if each.metric == "accuracy":
            each.ci, each.ci_method = wilson_interval(int(predictions.correct.sum()), n), "wilson"
    losses = predictions.nll
    nll = Quality(metric="nll", higher_is_better=False, value=float(losses.mean()), n=n)
    nll.ci, nll.ci_method = percentile_mean(losses), "percentile bootstrap"
    return [*quality, nll]
