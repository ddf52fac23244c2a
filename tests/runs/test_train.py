"""A training run as a library call: what it writes, when it stops, and that arms start alike."""

from __future__ import annotations

import pytest
import torch

from gelu_patch.errors import Interrupted, InvalidMeasurement, OutputExists
from gelu_patch.reporting.storage.run_folder import RunFolder
from gelu_patch.runs import train as module
from gelu_patch.runs.train import TrainingJob, load_for_training, train_run
from gelu_patch.training.log import read_log
from gelu_patch.training.recipe import Recipe
from tests.tasks.tiny import save_tiny_bert, tiny_examples


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return str(save_tiny_bert(tmp_path_factory.mktemp("checkpoint"), dropout=0.1))


def job(checkpoint, activation="stock", **changes):
    fields = {
        "model_name_or_path": checkpoint,
        "train": tiny_examples(),
        "validation": tiny_examples(),
        "recipe": Recipe(num_train_epochs=2, learning_rate=1e-3),
        "activation": activation,
    }
    return TrainingJob(**{**fields, **changes})


@pytest.mark.usefixtures("eager_only")
def test_same_mathematics_trains_the_same_and_other_mathematics_does_not(checkpoint, tmp_path):
    runs = {name: train_run(job(checkpoint, name), tmp_path / name) for name in ("stock", "gelu_fused", "relu")}
    losses = {name: [line["loss"] for line in read_log(run.path / "training_log.jsonl")] for name, run in runs.items()}
    assert len(losses["stock"]) == 6
    assert losses["gelu_fused"] == losses["stock"]
    assert losses["relu"] != losses["stock"]
    weights = {name: run.report.subject.weights_sha256 for name, run in runs.items()}
    assert weights["gelu_fused"] == weights["stock"] != weights["relu"]
    training = runs["stock"].report.training
    assert training.metric == "accuracy"
    assert training.per_seed[0].last is not None


def test_arms_start_from_the_same_weights(checkpoint):
    first, second = (load_for_training(job(checkpoint, name)).model for name in ("stock", "relu"))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_a_second_run_into_the_same_folder_is_refused(checkpoint, tmp_path):
    train_run(job(checkpoint, recipe=Recipe(max_train_steps=1)), tmp_path)
    with pytest.raises(OutputExists):
        train_run(job(checkpoint, recipe=Recipe(max_train_steps=1)), tmp_path)
    train_run(job(checkpoint, recipe=Recipe(max_train_steps=2)), tmp_path, overwrite=True)
    assert len(read_log(tmp_path / "training_log.jsonl")) == 2


def test_ctrl_c_leaves_the_log_and_no_report(checkpoint, tmp_path, monkeypatch):
    real = module.finetune

    def stopped(*arguments, on_step, **options):
        def step(record, total):
            on_step(record, total)
            if record.step == 2:
                raise KeyboardInterrupt

        return real(*arguments, on_step=step, **options)

    monkeypatch.setattr(module, "finetune", stopped)
    with pytest.raises(Interrupted, match="run the same command again"):
        train_run(job(checkpoint), tmp_path)
    assert not RunFolder(tmp_path).has_report
    assert len(read_log(tmp_path / "training_log.jsonl")) == 2
    monkeypatch.setattr(module, "finetune", real)
    train_run(job(checkpoint), tmp_path)
    assert len(read_log(tmp_path / "training_log.jsonl")) == 6


def test_answers_of_nan_are_an_error_and_the_report_says_so(checkpoint, tmp_path, monkeypatch):
    real = module.finetune

    def broken(model, *arguments, **options):
        summary = real(model, *arguments, **options)
        with torch.no_grad():
            model.classifier.weight.fill_(float("nan"))
        return summary

    monkeypatch.setattr(module, "finetune", broken)
    with pytest.raises(InvalidMeasurement, match="NaN"):
        train_run(job(checkpoint, validate_each_epoch=False), tmp_path)
    assert any("NaN" in warning for warning in RunFolder.open(tmp_path).report.warnings)


def test_a_job_describes_all_that_decides_its_result(checkpoint):
    base = job(checkpoint).describe()
    assert base == job(checkpoint).describe()
    for change in (
        {"activation": "relu"},
        {"where": "layer.0.*"},
        {"max_length": 7},
        {"recipe": Recipe(seed=1)},
        {"train": tiny_examples(12)},
        {"validation": None},
        {"ignore_mismatched_sizes": True},
    ):
        assert job(checkpoint, **change).describe() != base, change
