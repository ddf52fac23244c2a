"""Runs that answer different questions are refused, and the refusal names the difference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gelu_patch.errors import ExitCode, NotComparable
from gelu_patch.reporting.comparing.compare import compare_runs
from tests.reporting import made_up
from tests.reporting.made_up import MadeUpRun


def refusal(candidate: MadeUpRun) -> str:
    with pytest.raises(NotComparable) as caught:
        compare_runs(made_up.run(n=500, wrong=50), candidate)
    assert caught.value.exit_code == ExitCode.NOT_COMPARABLE == 4
    assert caught.value.next_step
    return str(caught.value)


def candidate() -> MadeUpRun:
    return made_up.run("relu", n=500, wrong=50)


def test_other_examples() -> None:
    found = candidate()
    found.predictions = replace(found.predictions, ids=["other-1", "other-2", *found.predictions.ids[2:]])
    message = refusal(found)
    assert "2 only in the baseline: 'ex-0', 'ex-1'" in message
    assert "2 only in the candidate: 'other-1', 'other-2'" in message


def test_fewer_examples() -> None:
    message = refusal(made_up.run("relu", n=400, wrong=50))
    assert "baseline 500 examples, candidate 400; 100 only in the baseline: 'ex-400', 'ex-401', 'ex-402', …" in message


def test_the_same_examples_in_another_order() -> None:
    found = candidate()
    found.predictions = replace(found.predictions, ids=found.predictions.ids[::-1])
    assert "another order" in refusal(found)


def test_other_labels_for_the_same_examples() -> None:
    found = candidate()
    labels = found.predictions.label.copy()
    labels[7] = 1 - labels[7]
    found.predictions = replace(found.predictions, label=labels)
    assert "the labels differ for 'ex-7'" in refusal(found)


def test_other_label_names() -> None:
    found = candidate()
    assert found.report.data
    found.report.data.labels = ["positive", "negative"]
    assert "['negative', 'positive'], candidate ['positive', 'negative']" in refusal(found)


def test_another_number_of_classes() -> None:
    found = candidate()
    logits = np.hstack([found.predictions.logits, np.full((500, 1), -9, np.float32)])
    found.predictions = replace(found.predictions, logits=logits)
    assert "numbers of classes" in refusal(found)


@pytest.mark.parametrize("field", ["inputs_sha256", "tokenizer_sha256"])
def test_other_inputs_or_tokenizer(field: str) -> None:
    found = candidate()
    setattr(found.report.data, field, "c" * 64)
    message = refusal(found)
    assert field in message
    assert "cccccccccccc…" in message


def test_other_weights_that_nobody_trained() -> None:
    assert "different weights" in refusal(made_up.run("relu", n=500, wrong=50, weights="w1"))


def test_what_cannot_be_verified_is_noted() -> None:
    found = candidate()
    assert found.report.data
    found.report.data.inputs_sha256 = None
    differences = compare_runs(made_up.run(n=500, wrong=50), found).differences
    assert "inputs: not verified, a run has no inputs_sha256" in differences


def test_harmless_differences_are_noted() -> None:
    found = candidate()
    found.report.environment.packages = {"torch": "2.14.0", "numpy": "2.4.6"}
    assert found.report.protocol
    found.report.protocol.batch_size = 8
    differences = compare_runs(made_up.run(n=500, wrong=50), found).differences
    assert differences == ["torch: 2.13.0 -> 2.14.0", "batch_size: 32 -> 8"]
