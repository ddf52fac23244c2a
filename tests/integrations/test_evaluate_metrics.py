"""The metrics work as evaluate.Metric without a network, alone and combined."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from gelu_patch.errors import DataError, MissingExtra, NotComparable, UnknownName
from gelu_patch.integrations.evaluate_metrics import compare_metric, compute_metric, evaluate_metric
from gelu_patch.reporting.storage.predictions import Predictions
from gelu_patch.tasks.metrics import metrics
from tests.reporting import made_up

PREDICTIONS, REFERENCES = [0, 1, 1, 2], [0, 1, 2, 2]


@pytest.mark.parametrize("name", metrics.names())
def test_the_same_number_as_our_own(name: str, tmp_path: Path) -> None:
    pytest.importorskip("evaluate")
    metric = evaluate_metric(name, cache_dir=str(tmp_path))
    assert metric.name == name
    value = metric.compute(predictions=PREDICTIONS, references=REFERENCES)
    assert value == {name: metrics.get(name).compute(REFERENCES, PREDICTIONS, 3)}


def test_combined_in_batches_of_lists_arrays_and_tensors(tmp_path: Path) -> None:
    evaluate = pytest.importorskip("evaluate")
    combined = evaluate.combine([evaluate_metric(name, cache_dir=str(tmp_path)) for name in metrics.names()])
    combined.add_batch(predictions=np.array(PREDICTIONS[:2]), references=torch.tensor(REFERENCES[:2]))
    combined.add_batch(predictions=PREDICTIONS[2:], references=REFERENCES[2:])
    assert combined.compute() == {each.name: each.compute(REFERENCES, PREDICTIONS, 3) for each in metrics}


def test_the_number_of_classes_can_be_said(tmp_path: Path) -> None:
    pytest.importorskip("evaluate")
    sides = {"predictions": [0, 1, 0], "references": [0, 1, 1]}
    binary = evaluate_metric("f1", cache_dir=str(tmp_path)).compute(**sides)
    of_three = evaluate_metric("f1", n_classes=3, cache_dir=str(tmp_path)).compute(**sides)
    assert binary == pytest.approx({"f1": 2 / 3})
    assert of_three == pytest.approx({"f1": 2 / 3})
    constant = {"predictions": [0, 0], "references": [0, 0]}
    assert evaluate_metric("f1", cache_dir=str(tmp_path)).compute(**constant) == {"f1": 0.0}
    assert evaluate_metric("f1", n_classes=3, cache_dir=str(tmp_path)).compute(**constant) == {"f1": 1.0}


def test_no_socket_is_opened(tmp_path: Path) -> None:
    pytest.importorskip("evaluate")
    code = (
        "import socket\n"
        "def refuse(*args): raise AssertionError('a socket was opened')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from gelu_patch.integrations.evaluate_metrics import evaluate_metric\n"
        "print(evaluate_metric('accuracy').compute(predictions=[1, 0], references=[1, 1]))\n"
    )
    offline = dict.fromkeys(("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE"), "1")
    environment = {**os.environ, **offline, "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "{'accuracy': 0.5}", done.stderr


def test_a_name_that_is_no_metric() -> None:
    with pytest.raises(UnknownName, match="unknown metric 'accuray'"):
        evaluate_metric("accuray")


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from gelu_patch.integrations import evaluate_metrics

    evaluate_metrics._metric_class.cache_clear()
    monkeypatch.setitem(sys.modules, "evaluate", None)
    with pytest.raises(MissingExtra, match="evaluate"):
        evaluate_metric("accuracy")


class Kappa:
    """A metric as others write it: any object with compute()."""

    def compute(self, predictions: list[int], references: list[int], scale: float = 1.0) -> dict[str, float]:
        assert isinstance(predictions, list)
        agreement = np.mean(np.array(predictions) == np.array(references))
        return {"kappa": float(scale * (2 * agreement - 1)), "n": len(predictions)}


def test_any_metric_on_the_predictions_of_a_run() -> None:
    found = made_up.predictions(200, wrong=20)
    assert compute_metric(Kappa(), found, key="kappa") == pytest.approx(0.8)
    assert compute_metric(Kappa(), found, key="kappa", scale=10.0) == pytest.approx(8.0)
    with pytest.raises(DataError, match="no single number"):
        compute_metric(Kappa(), found)
    with pytest.raises(DataError, match="no number 'f1'"):
        compute_metric(Kappa(), found, key="f1")
    document = Predictions(["a"], losses=np.array([1.0]), n_tokens=np.array([3]))
    with pytest.raises(DataError, match="language model"):
        compute_metric(Kappa(), document, key="kappa")


def test_two_runs_are_compared_in_pairs() -> None:
    before, after = made_up.predictions(400, wrong=40), made_up.predictions(400, wrong=40, b=60)
    found = compare_metric(Kappa(), before, after, key="kappa", resamples=400)
    assert found.difference == pytest.approx(2 * (-60 / 400))
    # 2 * (p of 60 / 400 in pairs): SE = 2 * sqrt(0.15 * 0.85 / 400) = 0.0357; 400 resamples know the limits to a tenth
    assert found.interval == pytest.approx((-0.37, -0.23), abs=0.02)
    assert found.discordant == 60
    assert compare_metric(Kappa(), before, after, key="kappa", resamples=400) == found
    few = compare_metric(Kappa(), before, made_up.predictions(400, wrong=40, b=19), key="kappa")
    assert few.interval is None
    with pytest.raises(NotComparable):
        compare_metric(Kappa(), before, made_up.predictions(399), key="kappa")


def test_a_registered_metric_by_its_name() -> None:
    pytest.importorskip("evaluate")
    before, after = made_up.predictions(400, wrong=40), made_up.predictions(400, wrong=40, b=60)
    found = compare_metric("accuracy", before, after, resamples=200)
    assert (found.before, found.after) == (0.9, 0.75)
    assert found.interval is not None
