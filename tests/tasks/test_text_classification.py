"""Two arms start from the same weights, and are scored by the same loss."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from gelu_patch.errors import DataError, UnknownName, UnsupportedModel
from gelu_patch.tasks import LabelMap, LoadedModel, TextExamples, tasks, weights_sha256

from .tiny import save_tiny_bert, tiny_examples

task = tasks.get("text-classification")


def test_the_same_seed_gives_the_same_head_whatever_happened_before(encoder_path: Path, examples: TextExamples) -> None:
    torch.manual_seed(5)
    first = task.load(encoder_path, train=examples, seed=3)
    torch.rand(7)
    second = task.load(encoder_path, train=examples, seed=3)
    other = task.load(encoder_path, train=examples, seed=4)
    assert weights_sha256(first.model) == weights_sha256(second.model) != weights_sha256(other.model)
    encoder = {name: value for name, value in first.model.state_dict().items() if name.startswith("bert.")}
    assert all(torch.equal(value, other.model.state_dict()[name]) for name, value in encoder.items())


def test_loading_does_not_disturb_the_callers_random_numbers(encoder_path: Path, examples: TextExamples) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    task.load(encoder_path, train=examples)
    assert torch.equal(torch.rand(3), expected)


def test_new_weights_are_noted_and_trained_ones_are_not(encoder_path: Path, classifier_path: Path) -> None:
    (note,) = task.load(encoder_path).notes
    assert note == (
        "not in the checkpoint, drawn from seed 0: classifier.bias, classifier.weight;"
        " without training its answers mean nothing"
    )
    assert task.load(classifier_path).notes == ()


def test_the_classes_of_the_training_set_go_into_the_config(loaded: LoadedModel) -> None:
    assert loaded.labels.names == ("neg", "pos")
    assert loaded.model.config.id2label == {0: "neg", 1: "pos"}
    assert loaded.model.config.label2id == {"neg": 0, "pos": 1}


def test_without_a_training_set_the_classes_are_the_checkpoints(classifier_path: Path) -> None:
    assert task.load(classifier_path).labels.names == ("LABEL_0", "LABEL_1")


def test_a_checkpoint_that_knows_the_classes_keeps_its_order(
    encoder_path: Path, examples: TextExamples, tmp_path: Path
) -> None:
    swapped = dataclasses.replace(examples, labels=tuple("ab"[i % 2] for i in range(len(examples))))
    first = task.load(encoder_path, train=swapped)
    first.model.config.id2label = {0: "b", 1: "a"}
    first.model.save_pretrained(tmp_path)
    first.tokenizer.save_pretrained(tmp_path)
    assert task.load(tmp_path, train=swapped).labels.names == ("b", "a")


def test_a_tokenizer_without_a_limit_gets_the_models(encoder_path: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(encoder_path, tmp_path / "model"))
    settings = json.loads((path / "tokenizer_config.json").read_text())
    settings.pop("model_max_length")
    (path / "tokenizer_config.json").write_text(json.dumps(settings))
    assert task.load(path).tokenizer.model_max_length == 32


def test_three_classes(encoder_path: Path) -> None:
    examples = tiny_examples(classes=("a", "b", "c"))
    loaded = task.load(encoder_path, train=examples)
    encoded = task.encode(examples, labels=loaded.labels, tokenizer=loaded.tokenizer, max_length=32)
    assert task.predict(loaded.model, encoded).logits.shape == (24, 3)


def test_predictions_carry_ids_labels_and_token_counts(loaded: LoadedModel, examples: TextExamples) -> None:
    encoded = task.encode(examples, labels=loaded.labels, tokenizer=loaded.tokenizer, max_length=32)
    found = task.predict(loaded.model, encoded, seed=7)
    assert tuple(found.ids) == examples.ids
    assert [loaded.labels.names[label] for label in found.label] == list(examples.labels)
    assert found.n_tokens.tolist() == [len(text.split()) + 2 for text in examples.texts]
    assert found.seed == 7


def test_the_loss_is_the_mean_cross_entropy(loaded: LoadedModel, examples: TextExamples) -> None:
    encoded = task.encode(examples, labels=loaded.labels, tokenizer=loaded.tokenizer, max_length=32)
    loaded.model.eval()
    batch = encoded.batch(range(6))
    loss = task.loss(loaded.model, batch)
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    assert torch.equal(loss, F.cross_entropy(loaded.model(**inputs).logits, batch["labels"]))
    assert loss.requires_grad
    assert task.predict(loaded.model, encoded).nll[:6].mean() == pytest.approx(loss.item(), abs=1e-6)


def test_more_classes_in_the_data_than_in_the_model(loaded: LoadedModel) -> None:
    examples = tiny_examples(classes=("a", "b", "c"))
    labels = LabelMap.from_examples(examples)
    encoded = task.encode(examples, labels=labels, tokenizer=loaded.tokenizer, max_length=32)
    with pytest.raises(UnsupportedModel, match="the model has 2 classes"):
        task.predict(loaded.model, encoded)


def test_an_unknown_label_and_an_unknown_task(loaded: LoadedModel) -> None:
    examples = tiny_examples(classes=("neg", "neutral"))
    with pytest.raises(DataError, match="'neutral'"):
        task.encode(examples, labels=loaded.labels, tokenizer=loaded.tokenizer, max_length=32)
    with pytest.raises(UnknownName, match="unknown task"):
        tasks.get("text-clasification")


def test_half_precision_checkpoints_are_loaded_in_float32(tmp_path: Path, examples: TextExamples) -> None:
    path = save_tiny_bert(tmp_path)
    loaded = task.load(path, train=examples)
    loaded.model.bfloat16().save_pretrained(path)
    assert task.load(path).model.dtype is torch.float32
