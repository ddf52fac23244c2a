"""Planted damage: another activation in a GELU checkpoint is found, and what damages nothing is not accused.

The labels are the checkpoint's own answers, so it is right everywhere and each changed answer is a loss.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from gelu_patch.errors import ExitCode
from gelu_patch.reporting.storage.run_folder import RunFolder
from tests.cli.conftest import write_csv
from tests.tasks.tiny import WORDS, save_tiny_bert

N = 600  # more than the 381 below which nothing can pass


@pytest.fixture(scope="module")
def confident(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose activations matter: its feed-forward weights are large, and its answers balanced."""
    from transformers import AutoModelForSequenceClassification

    path = save_tiny_bert(tmp_path_factory.mktemp("damage") / "model", head=True)
    model = AutoModelForSequenceClassification.from_pretrained(path)
    with torch.no_grad():
        for layer in model.bert.encoder.layer:
            layer.intermediate.dense.weight *= 20
            layer.output.dense.weight *= 20
        model.classifier.weight *= 50
    model.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory, confident: Path) -> Path:
    """Sentences with the checkpoint's own answers as labels; its bias is moved so that both occur as often."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    draw = random.Random(0)
    texts = [" ".join(draw.choices(WORDS, k=8)) for _ in range(N)]
    tokenizer = AutoTokenizer.from_pretrained(confident)
    model = AutoModelForSequenceClassification.from_pretrained(confident).eval()
    with torch.no_grad():
        logits = model(**tokenizer(texts, return_tensors="pt", padding=True)).logits
        middle = (logits[:, 1] - logits[:, 0]).median()
        model.classifier.bias[1] -= middle
    model.save_pretrained(confident)
    answers = (logits[:, 1] - middle > logits[:, 0]).long().tolist()
    rows = [(number, text, f"LABEL_{answer}") for number, (text, answer) in enumerate(zip(texts, answers, strict=True))]
    return write_csv(tmp_path_factory.mktemp("questions") / "questions.csv", rows)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


def evaluated(cli, confident: Path, questions: Path, folder: Path, name: str, activation: str) -> Path:
    out = folder / name
    done = cli("eval", confident, "--activation", activation, "--test_file", questions, "--output_dir", out)
    assert done.code == 0, done.err
    return out


def test_silu_in_a_gelu_checkpoint_does_not_ship(cli, confident, questions, folder):
    stock = evaluated(cli, confident, questions, folder, "stock", "stock")
    silu = evaluated(cli, confident, questions, folder, "silu", "silu")
    done = cli("compare", stock, silu)
    assert done.code == ExitCode.DO_NOT_SHIP
    assert "DO NOT SHIP" in done.out


@pytest.mark.parametrize("activation", ["stock", "gelu_fused"])
def test_the_same_mathematics_has_no_flips_and_is_not_accused(cli, confident, questions, folder, activation):
    stock = evaluated(cli, confident, questions, folder, "stock", "stock")
    same = evaluated(cli, confident, questions, folder, f"same-{activation}", activation)
    done = cli("compare", stock, same, "--output_dir", folder / f"compared-{activation}")
    assert done.code == 0, done.out
    assert "0 of 600 predictions changed sides" in done.out
    before, after = (RunFolder(run).predictions.logits for run in (stock, same))
    if activation == "stock":
        assert np.array_equal(before, after)  # bit by bit
