"""Predictions do not depend on the order or the padding of the batches, and leave the model as it was."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from gelu_patch.errors import UnsupportedModel, UsageError
from gelu_patch.patching import patch_model
from gelu_patch.tasks import LoadedModel, TextExamples, tasks
from gelu_patch.tasks.encoding import EncodedExamples
from gelu_patch.tasks.inference import length_sorted_batches

task = tasks.get("text-classification")


@pytest.fixture
def encoded(loaded: LoadedModel, examples: TextExamples) -> EncodedExamples:
    return task.encode(examples, labels=loaded.labels, tokenizer=loaded.tokenizer, max_length=32)


def logits_of(model: nn.Module, data: EncodedExamples, **options: Any) -> np.ndarray[Any, Any]:
    return task.predict(model, data, **options).class_logits


def one_by_one(model: nn.Module, data: EncodedExamples) -> np.ndarray[Any, Any]:
    """The slow, obvious way: no padding, no sorting."""
    model.eval()
    rows = []
    for i in range(len(data)):
        inputs = {name: torch.tensor([values[i]]) for name, values in data.features.items()}
        rows.append(model(**inputs).logits[0].detach().numpy())
    return np.stack(rows)


@pytest.mark.parametrize("batch_size", [1, 5, 8, 100])
def test_order_and_padding_do_not_matter(loaded: LoadedModel, encoded: EncodedExamples, batch_size: int) -> None:
    logits = logits_of(loaded.model, encoded, batch_size=batch_size)
    # Logits are of size 0.1; other shapes add up in another order: a few float32 roundings of terms near 1.
    np.testing.assert_allclose(logits, one_by_one(loaded.model, encoded), atol=2e-6, rtol=0)
    assert logits.dtype == np.float32


def test_the_layout_is_longest_first_and_stable() -> None:
    assert length_sorted_batches([3, 5, 3, 5, 9], 2) == [[4, 1], [3, 0], [2]]
    with pytest.raises(UsageError, match="batch_size 0"):
        length_sorted_batches([3], 0)


def test_every_modules_mode_is_kept(loaded: LoadedModel, encoded: EncodedExamples) -> None:
    model = loaded.model.train()
    model.bert.encoder.layer[0].eval()
    before = [module.training for module in model.modules()]
    first = logits_of(model, encoded, batch_size=8)
    assert [module.training for module in model.modules()] == before
    model.bert.forward = None
    with pytest.raises(TypeError):
        logits_of(model, encoded, batch_size=8)
    del model.bert.forward
    assert [module.training for module in model.modules()] == before
    assert np.array_equal(logits_of(model.eval(), encoded, batch_size=8), first)


def test_dropout_is_off(loaded: LoadedModel, encoded: EncodedExamples) -> None:
    loaded.model.dropout.p = 0.5
    loaded.model.train()
    first, second = (logits_of(loaded.model, encoded, batch_size=8) for _ in range(2))
    assert np.array_equal(first, second)


def test_progress_counts_examples(loaded: LoadedModel, encoded: EncodedExamples) -> None:
    seen: list[tuple[int, int]] = []
    logits_of(loaded.model, encoded, batch_size=10, on_batch=lambda *at: seen.append(at))
    assert seen == [(10, 24), (20, 24), (24, 24)]


def test_a_bfloat16_model_gives_float32_logits(loaded: LoadedModel, encoded: EncodedExamples) -> None:
    assert logits_of(loaded.model.bfloat16(), encoded, batch_size=8).dtype == np.float32


class Answers(nn.Module):
    """A model that answers what it is told to."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.answer = answer

    def forward(self, input_ids: torch.Tensor) -> Any:
        return self.answer


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (None, "NoneType"),
        (torch.zeros(24, 2), "NoneType"),
        (SimpleNamespace(logits=torch.zeros(24, 7, 2)), "(24, 7, 2)"),
        (SimpleNamespace(logits=torch.zeros(3, 2)), "(3, 2)"),
    ],
)
def test_a_model_that_does_not_classify(encoded: EncodedExamples, answer: Any, found: str) -> None:
    with pytest.raises(UnsupportedModel, match="does not classify") as caught:
        logits_of(Answers(answer), encoded, batch_size=24)
    assert f"found {found}" in str(caught.value.why)


def test_inputs_that_the_model_does_not_take_are_held_back(encoded: EncodedExamples) -> None:
    model = Answers(SimpleNamespace(logits=torch.zeros(24, 2)))  # takes no attention_mask
    assert logits_of(model, encoded, batch_size=24).shape == (24, 2)


def test_a_model_that_takes_no_tokens(encoded: EncodedExamples) -> None:
    with pytest.raises(UnsupportedModel, match="does not take token ids") as caught:
        logits_of(nn.Linear(3, 3), encoded, batch_size=8)
    assert "its forward takes input" in str(caught.value.why)


def test_a_tokenizer_of_another_model(loaded: LoadedModel, encoded: EncodedExamples) -> None:
    features = {**encoded.features, "input_ids": [[999]] * len(encoded)}
    with pytest.raises(UnsupportedModel, match="do not belong together") as caught:
        logits_of(loaded.model, dataclasses.replace(encoded, features=features), batch_size=8)
    assert "token 999" in str(caught.value.why)


def test_more_tokens_than_positions(loaded: LoadedModel, encoded: EncodedExamples) -> None:
    features = {name: [[1] * 33] * len(encoded) for name in encoded.features}
    with pytest.raises(UsageError, match="33 tokens") as caught:
        logits_of(loaded.model, dataclasses.replace(encoded, features=features), batch_size=8)
    assert caught.value.next_step == "--max_length 32"


def test_products_are_by_one_library(
    loaded: LoadedModel, encoded: EncodedExamples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elsewhere the faster library is measured and taken, and two processes may choose differently."""
    from gelu_patch.blocks import libraries
    from gelu_patch.blocks.product import Product

    patch_model(loaded.model, "gelu_fused")
    taken: list[str] = []
    by = Product.by
    monkeypatch.setattr(libraries, "_choices", {})
    monkeypatch.setattr(libraries, "faster", lambda seconds: "onednn")
    monkeypatch.setattr(Product, "by", lambda self, library: (taken.append(library), by(self, library))[1])
    logits_of(loaded.model, encoded, batch_size=8)
    assert set(taken) == {"torch"}
