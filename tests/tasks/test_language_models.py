"""The loss of every token is what a loop over single tokens finds, whatever the batches and the padding."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from gelu_patch.errors import UnsupportedModel, UsageError
from gelu_patch.tasks import LoadedModel, evaluate_model, tasks
from gelu_patch.tasks.documents import IGNORED

from .tiny import save_tiny_bert, save_tiny_gpt2, save_tiny_masked_bert, tiny_documents

causal, masked = tasks.get("causal-lm"), tasks.get("masked-lm")
# Losses are near 3 and their float32 roundings near 2e-7; other batches add up in another order.
CLOSE = {"rtol": 0, "atol": 3e-6}


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return causal.load(save_tiny_gpt2(tmp_path_factory.mktemp("gpt2")))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return masked.load(save_tiny_masked_bert(tmp_path_factory.mktemp("bert")))


def one_by_one(model: Any, ids: list[int], limit: int, stride: int) -> list[float]:
    """The slow, obvious way: one run for each token, from the same context."""
    losses = []
    for place in range(1, len(ids)):
        if place < limit:
            begin = 0
        else:
            steps = (place - limit) // stride + 1
            begin = min(limit + steps * stride, len(ids)) - limit
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids[begin:place]])).logits[0, -1]
        losses.append(float(-F.log_softmax(logits.double(), dim=0)[ids[place]]))
    return losses


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("batch_size", [1, 8])
def test_causal_losses_are_those_of_single_tokens(decoder: LoadedModel, batch_size: int, side: str) -> None:
    model, tokenizer = decoder.model.eval(), decoder.tokenizer
    tokenizer.padding_side = side
    examples = tiny_documents()
    data = causal.encode(examples, tokenizer=tokenizer, max_length=20, stride=7)
    found = causal.predict(model, data, batch_size=batch_size)
    for text, losses, mean in zip(examples.texts, found.token_nll, found.nll, strict=True):
        expected = one_by_one(model, tokenizer(text)["input_ids"], 20, 7)
        np.testing.assert_allclose(losses, expected, **CLOSE)
        assert mean == pytest.approx(np.mean(expected), abs=3e-6)


@pytest.mark.parametrize("batch_size", [1, 8])
def test_masked_losses_are_those_of_single_windows(encoder: LoadedModel, batch_size: int) -> None:
    model = encoder.model.eval()
    data = masked.encode(tiny_documents(), tokenizer=encoder.tokenizer, max_length=20)
    found = masked.predict(model, data, batch_size=batch_size)
    expected: dict[int, list[float]] = {}
    for item in data.items:
        with torch.no_grad():
            rows = F.log_softmax(model(input_ids=torch.tensor([item.input_ids])).logits[0].double(), dim=1)
        asked = [(place, label) for place, label in enumerate(item.labels) if label != IGNORED]
        expected.setdefault(item.document, []).extend(float(-rows[place, label]) for place, label in asked)
    for number, losses in enumerate(found.token_nll):
        np.testing.assert_allclose(losses, expected[number], **CLOSE)


@pytest.mark.parametrize("name", ["causal-lm", "masked-lm"])
def test_training_and_evaluation_have_the_same_loss(name: str, decoder: LoadedModel, encoder: LoadedModel) -> None:
    task = tasks.get(name)
    loaded = decoder if name == "causal-lm" else encoder
    model = loaded.model.eval()
    data = task.encode(tiny_documents(), tokenizer=loaded.tokenizer, max_length=20)
    batch = data.batch(range(len(data)))
    loss = task.loss(model, batch)
    assert loss.requires_grad
    found = task.predict(model, data, batch_size=len(data))
    assert found.token_nll is not None
    assert float(loss.detach()) == pytest.approx(np.concatenate(found.token_nll).mean(), abs=3e-6)


def test_the_best_guess_at_a_token_is_kept(decoder: LoadedModel) -> None:
    model = decoder.model.eval()
    examples = tiny_documents(3, longest=10)
    data = causal.encode(examples, tokenizer=decoder.tokenizer, max_length=20)
    found = causal.predict(model, data)
    for text, guesses in zip(examples.texts, found.token_pred, strict=True):
        with torch.no_grad():
            logits = model(**decoder.tokenizer(text, return_tensors="pt")).logits[0]
        assert guesses.tolist() == logits[:-1].argmax(dim=1).tolist()


def test_perplexity_is_per_token_and_nll_per_document(decoder: LoadedModel) -> None:
    found = evaluate_model(decoder.model, data=tiny_documents(), tokenizer=decoder.tokenizer, task="causal-lm")
    quality = {each.metric: each for each in found.report.quality}
    assert set(quality) == {"nll", "perplexity"}
    losses = np.concatenate(found.predictions.token_nll)
    assert quality["perplexity"].value == pytest.approx(np.exp(losses.mean()), rel=1e-5)
    assert quality["nll"].value == found.predictions.nll.mean()
    for each in quality.values():
        assert each.ci[0] < each.value < each.ci[1]
        assert not each.higher_is_better
        assert each.n == 12
    assert found.report.protocol.max_length == 32  # what the model takes: its tokenizer has no limit
    assert found.report.data.labels == []
    assert evaluate_model(
        decoder.model, data=tiny_documents(), tokenizer=decoder.tokenizer, task="causal-lm", stride=3
    ).report.data.inputs_sha256 != (found.report.data.inputs_sha256)


def test_a_masked_model_has_a_pseudo_perplexity(encoder: LoadedModel) -> None:
    found = evaluate_model(encoder.model, data=tiny_documents(), tokenizer=encoder.tokenizer, task="masked-lm")
    assert [each.metric for each in found.report.quality] == ["nll", "pseudo_perplexity"]


def test_a_model_that_looks_ahead_is_no_decoder(encoder: LoadedModel, tmp_path: Any) -> None:
    with pytest.raises(UnsupportedModel, match="sees the tokens that it should predict"):
        evaluate_model(encoder.model, data=tiny_documents(), tokenizer=encoder.tokenizer, task="causal-lm")


def test_models_of_another_kind(decoder: LoadedModel, tmp_path: Any) -> None:
    with pytest.raises(UnsupportedModel, match="cannot fill in hidden tokens"):
        masked.load(save_tiny_gpt2(tmp_path / "gpt2"))
    with pytest.raises(UnsupportedModel, match="no mask token"):
        masked.encode(tiny_documents(), tokenizer=decoder.tokenizer, max_length=16)
    classifier = tasks.get("text-classification").load(save_tiny_bert(tmp_path / "bert"))
    with pytest.raises(UnsupportedModel, match="does not predict tokens"):
        evaluate_model(classifier.model, data=tiny_documents(), tokenizer=classifier.tokenizer, task="causal-lm")


def test_windows_are_not_for_classifiers(tmp_path: Any) -> None:
    task = tasks.get("text-classification")
    loaded = task.load(save_tiny_bert(tmp_path, head=True))
    examples = dataclasses.replace(tiny_documents(), labels=("0",) * 12)
    with pytest.raises(UsageError, match="has no windows"):
        task.encode(examples, labels=loaded.labels, tokenizer=loaded.tokenizer, max_length=16, stride=8)
