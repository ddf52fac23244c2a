"""The metrics work as evaluate.Metric without a network, alone and combined."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from gelu_patch.errors import MissingExtra, UnknownName
from gelu_patch.integrations.evaluate_metrics import evaluate_metric
from gelu_patch.tasks.metrics import metrics

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
