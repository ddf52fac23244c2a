"""What one arm's predictions of classes are worth."""

from __future__ import annotations

from gelu_patch.reporting.schema import Quality
from gelu_patch.reporting.storage.predictions import Predictions
from gelu_patch.stats.bootstrap import percentile_mean
from gelu_patch.stats.counts import count_interval
from gelu_patch.stats.single import wilson_interval
from gelu_patch.tasks.metrics import metrics


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
