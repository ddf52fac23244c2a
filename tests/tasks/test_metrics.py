"""Our metrics are scikit-learn's."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from gelu_patch.tasks.metrics import metrics

sklearn_metrics = pytest.importorskip("sklearn.metrics")

ORACLES = {
    "accuracy": lambda y, p, k: sklearn_metrics.accuracy_score(y, p),
    "f1": lambda y, p, k: sklearn_metrics.f1_score(y, p, average="binary" if k == 2 else "macro", zero_division=0),
    "matthews_correlation": lambda y, p, k: sklearn_metrics.matthews_corrcoef(y, p),
}


@pytest.mark.parametrize("name", metrics.names())
@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_equal_to_scikit_learn(name: str, n_classes: int) -> None:
    rng = np.random.default_rng(n_classes)
    for n in (1, 2, 5, 40, 1000):
        labels = rng.integers(n_classes, size=n)
        predictions = np.where(rng.random(n) < 0.6, labels, rng.integers(n_classes, size=n))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn comments on classes that do not occur
            expected = ORACLES[name](labels, predictions, n_classes)
        value = metrics.get(name).compute(labels, predictions, n_classes)
        # Sums of at most 1000 counts are exact; a handful of float64 operations follow.
        assert value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("labels", "predictions"), [([0, 0], [0, 0]), ([0, 0], [1, 1]), ([0, 1], [1, 1]), ([1, 1], [0, 1])]
)
def test_constant_sides_give_zero_not_nan(labels: list[int], predictions: list[int]) -> None:
    assert metrics.get("mcc").compute(labels, predictions, 2) == 0.0
    assert np.isfinite(metrics.get("f1").compute(labels, predictions, 2))
