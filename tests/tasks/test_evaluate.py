"""An evaluation says what was run, on what, and how well; saved and loaded it says the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from gelu_patch.errors import DataError, InvalidMeasurement, NotComparable, OutputExists
from gelu_patch.patching import patch_model
from gelu_patch.reporting.outcome import compare
from gelu_patch.reporting.schema import SeedRun
from gelu_patch.reporting.storage.run_folder import RunFolder
from gelu_patch.tasks import LoadedModel, TextExamples, evaluate_model, metrics, weights_sha256
from gelu_patch.tasks.evaluate import Evaluation


def test_quality_follows_from_the_predictions(loaded: LoadedModel, examples: TextExamples) -> None:
    found = evaluate_model(loaded.model, data=examples, tokenizer=loaded.tokenizer)
    quality = {each.metric: each for each in found.report.quality}
    assert set(quality) == {*metrics.names(), "nll"}
    accuracy = quality["accuracy"]
    assert accuracy.value == np.mean(found.predictions.pred == found.predictions.label)
    assert accuracy.ci is not None
    assert accuracy.ci[0] < accuracy.value < accuracy.ci[1]
    assert (accuracy.ci_method, accuracy.n) == ("wilson", 24)
    assert quality["nll"].value == found.predictions.nll.mean()
    assert quality["nll"].ci[0] < quality["nll"].value < quality["nll"].ci[1]
    assert not quality["nll"].higher_is_better
    assert quality["f1"].ci[0] < quality["f1"].value < quality["f1"].ci[1]


def test_the_report_says_what_was_run(loaded: LoadedModel, examples: TextExamples) -> None:
    patch_model(loaded.model, "relu", where="layer.0.*")
    report = evaluate_model(
        loaded.model,
        data=examples,
        tokenizer=loaded.tokenizer,
        batch_size=7,
        max_length=9,
        seed=4,
    ).report
    assert report.kind == "eval"
    assert report.subject is not None
    assert report.subject.weights_sha256 == weights_sha256(loaded.model)
    assert report.subject.params == sum(p.numel() for p in loaded.model.parameters())
    assert (report.subject.architecture, report.subject.dtype) == ("BertForSequenceClassification", "float32")
    patch = report.subject.patch
    assert (patch.target, patch.n_patched, patch.n_sites) == ("relu", 1, 2)
    assert [(site.from_, site.to, site.kernel) for site in patch.plan] == [("gelu", "relu", "eager")]
    assert report.data is not None
    assert (report.data.n, report.data.labels, report.data.name) == (24, ["neg", "pos"], "tiny")
    assert report.data.inputs_sha256 == examples.inputs_sha256
    assert report.protocol is not None
    assert (report.protocol.batch_size, report.protocol.max_length, report.protocol.seed) == (7, 9, 4)
    assert report.environment.packages["torch"]


def test_models_that_were_trained_apart_are_comparable_when_the_evaluation_is_told(
    loaded: LoadedModel, examples: TextExamples
) -> None:
    def evaluated(training: SeedRun | None) -> Evaluation:
        return evaluate_model(loaded.model, data=examples, tokenizer=loaded.tokenizer, training=training)

    before, told = evaluated(None), evaluated(SeedRun(seed=3, steps=2))
    assert before.report.training is None
    assert told.report.training is not None
    assert [run.steps for run in told.report.training.per_seed] == [2]
    assert told.report.protocol is not None
    assert told.report.protocol.seed == 3
    with torch.no_grad():
        next(loaded.model.parameters()).add_(1e-3)
    with pytest.raises(NotComparable, match="neither says that it was trained"):
        compare(before, evaluated(None))
    assert compare(told, evaluated(SeedRun(seed=3, steps=2))).comparison.comparable


def test_saved_and_read_back(loaded: LoadedModel, examples: TextExamples, tmp_path: Path) -> None:
    found = evaluate_model(loaded.model, data=examples, tokenizer=loaded.tokenizer)
    found.save(tmp_path / "run")
    folder = RunFolder.open(tmp_path / "run")
    assert folder.report == found.report
    assert folder.predictions.ids == list(examples.ids)
    assert np.array_equal(folder.predictions.logits, found.predictions.logits)
    with pytest.raises(OutputExists):
        found.save(tmp_path / "run")
    found.save(tmp_path / "run", overwrite=True)


def test_the_same_model_twice_gives_the_same_bits(loaded: LoadedModel, examples: TextExamples) -> None:
    first, second = (evaluate_model(loaded.model.train(), data=examples, tokenizer=loaded.tokenizer) for _ in range(2))
    assert np.array_equal(first.predictions.logits, second.predictions.logits)
    assert first.report.data == second.report.data
    assert first.report.run_id != second.report.run_id


def test_a_planted_flip_of_the_head_changes_the_accuracy(loaded: LoadedModel, examples: TextExamples) -> None:
    with torch.no_grad():
        loaded.model.classifier.bias.copy_(torch.tensor([9.0, 0.0]))
    before = evaluate_model(loaded.model, data=examples, tokenizer=loaded.tokenizer)
    with torch.no_grad():
        loaded.model.classifier.weight.neg_()
        loaded.model.classifier.bias.neg_()
    after = evaluate_model(loaded.model, data=examples, tokenizer=loaded.tokenizer)
    assert before.report.quality[0].value + after.report.quality[0].value == 1.0
    assert before.report.subject != after.report.subject


def test_nan_is_no_measurement(loaded: LoadedModel, examples: TextExamples) -> None:
    with torch.no_grad():
        loaded.model.bert.embeddings.word_embeddings.weight[5] = float("nan")
    hit = [name for name, text in zip(examples.ids, examples.texts, strict=True) if "good" in text.split()]
    with pytest.raises(InvalidMeasurement, match=f"for {len(hit)} of 24") as caught:
        evaluate_model(loaded.model, data=examples, tokenizer=loaded.tokenizer)
    assert caught.value.where == f"first at example {hit[0]!r}"


def test_data_that_the_model_does_not_know(loaded: LoadedModel, examples: TextExamples) -> None:
    other = dataclasses.replace(examples, labels=("maybe",) * 24)
    with pytest.raises(DataError, match="labels that the model does not: 'maybe'"):
        evaluate_model(loaded.model, data=other, tokenizer=loaded.tokenizer)


def test_a_model_without_class_names(loaded: LoadedModel, examples: TextExamples) -> None:
    with pytest.raises(DataError, match="which classes"):
        evaluate_model(torch.nn.Linear(2, 2), data=examples, tokenizer=loaded.tokenizer)
