"""Load, fine-tune, evaluate, save, load again: the parts fit together."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from gelu_patch.reporting.storage.run_folder import RunFolder
from gelu_patch.tasks import TextExamples, evaluate_model, read_examples, tasks, weights_sha256
from gelu_patch.training.loop import finetune
from gelu_patch.training.recipe import Recipe

from .tiny import save_tiny_bert

task = tasks.get("text-classification")


@pytest.fixture
def train_file(tmp_path: Path, examples: TextExamples) -> Path:
    rows = zip(examples.texts, examples.labels, strict=True)
    path = tmp_path / "train.csv"
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    return path


def train(checkpoint: Path, data: TextExamples) -> tuple[nn.Module, object]:
    loaded = task.load(checkpoint, train=data, seed=1)
    encoded = task.encode(data, labels=loaded.labels, tokenizer=loaded.tokenizer, max_length=16)
    finetune(
        loaded.model,
        encoded,
        Recipe(max_train_steps=6, learning_rate=1e-3, group_by_length=True, seed=1),
        loss=task.loss,
        validate=lambda model: float(task.predict(model, encoded).correct.mean()),
    )
    return loaded.model, loaded.tokenizer


def test_two_trainings_and_their_evaluations_are_bit_identical(tmp_path: Path, train_file: Path) -> None:
    checkpoint = save_tiny_bert(tmp_path / "base", dropout=0.2)
    data = read_examples(train_file)
    arms = [train(checkpoint, data) for _ in range(2)]
    first, second = (evaluate_model(model, data=data, tokenizer=tokenizer, seed=1) for model, tokenizer in arms)
    assert weights_sha256(arms[0][0]) == weights_sha256(arms[1][0])
    assert np.array_equal(first.predictions.logits, second.predictions.logits)

    model, tokenizer = arms[0]
    model.save_pretrained(tmp_path / "trained")  # type: ignore[operator]
    tokenizer.save_pretrained(tmp_path / "trained")  # type: ignore[attr-defined]
    first.save(tmp_path / "run")
    again = task.load(tmp_path / "trained")
    assert again.notes == ()
    assert again.labels.names == ("neg", "pos")
    reread = evaluate_model(again.model, data=data, tokenizer=again.tokenizer, seed=1)
    assert np.array_equal(reread.predictions.logits, RunFolder.open(tmp_path / "run").predictions.logits)
    assert reread.report.data == first.report.data


def test_importing_tasks_imports_no_transformers() -> None:
    heavy = {"accelerate", "transformers", "peft", "datasets", "evaluate"}
    code = f"import sys, gelu_patch.tasks; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
