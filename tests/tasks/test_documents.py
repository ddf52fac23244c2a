"""Windows predict every token once, with as much context as there is."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gelu_patch.errors import DataError, UsageError
from gelu_patch.tasks import LoadedModel, tasks
from gelu_patch.tasks.documents import IGNORED, windows

from .tiny import save_tiny_gpt2, save_tiny_masked_bert, tiny_documents

causal, masked = tasks.get("causal-lm"), tasks.get("masked-lm")


@given(st.integers(1, 90), st.integers(2, 20), st.data())
def test_every_token_is_predicted_once_with_full_context(n: int, limit: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(1, limit - 1))
    found = list(windows(n, limit=limit, stride=stride, first=1))
    assert [place for window in found for place in range(window.first, window.end)] == list(range(1, n))
    for window in found[1:]:
        assert window.end - window.begin == limit
        assert window.first - window.begin >= limit - stride
    assert found[0].begin == 0
    assert len(found) == 1 + max(0, -(-(n - limit) // stride))


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return causal.load(save_tiny_gpt2(tmp_path_factory.mktemp("gpt2")))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return masked.load(save_tiny_masked_bert(tmp_path_factory.mktemp("bert")))


def test_a_batch_is_padded_on_the_right_and_its_padding_is_not_asked(decoder: LoadedModel) -> None:
    data = causal.encode(tiny_documents(), tokenizer=decoder.tokenizer, max_length=16)
    batch = data.batch([0, 1])
    lengths = [data.lengths[i] for i in (0, 1)]
    assert batch["input_ids"].shape == (2, max(lengths))
    for row, length in enumerate(lengths):
        assert batch["attention_mask"][row].tolist() == [1] * length + [0] * (max(lengths) - length)
        assert set(batch["labels"][row, length:].tolist()) <= {IGNORED}


def test_a_document_that_is_cut_stays_one_unit(decoder: LoadedModel) -> None:
    examples = tiny_documents()
    data = causal.encode(examples, tokenizer=decoder.tokenizer, max_length=16, stride=5)
    found = causal.predict(decoder.model, data)
    assert found.ids == list(examples.ids)
    assert found.n_tokens.tolist() == [len(text.split()) - 1 for text in examples.texts]
    assert found.text == list(examples.shown)


def test_masking_depends_on_the_id_and_the_seed_alone(encoder: LoadedModel) -> None:
    examples = tiny_documents()

    def asked(documents: Any, seed: int = 0) -> dict[str, list[list[int]]]:
        data = masked.encode(documents, tokenizer=encoder.tokenizer, max_length=16, seed=seed)
        found: dict[str, list[list[int]]] = {}
        for item in data.items:
            found.setdefault(data.ids[item.document], []).append(item.labels)
        return found

    whole = asked(examples)
    half = asked(examples.first(6))
    assert half == {key: whole[key] for key in examples.ids[:6]}
    assert asked(examples) == whole
    assert asked(examples, seed=1) != whole


def test_hidden_tokens_are_fifteen_per_cent_and_never_special(encoder: LoadedModel) -> None:
    examples = tiny_documents()
    data = masked.encode(examples, tokenizer=encoder.tokenizer, max_length=16)
    special = set(encoder.tokenizer.all_special_ids)
    for number, text in enumerate(examples.texts):
        items = [item for item in data.items if item.document == number]
        labels = [label for item in items for label in item.labels if label != IGNORED]
        assert len(labels) == max(1, round(0.15 * len(text.split())))
        assert not special & set(labels)
        for item in items:
            hidden = [token == encoder.tokenizer.mask_token_id for token in item.input_ids]
            assert hidden == [label != IGNORED for label in item.labels]


def test_some_documents_are_what_they_are_among_all(decoder: LoadedModel) -> None:
    data = causal.encode(tiny_documents(), tokenizer=decoder.tokenizer, max_length=16)
    few = data.some([2, 5])
    assert few.ids == ("doc-2", "doc-5")
    assert [item[1:] for item in few.items] == [item[1:] for item in data.items if item.document in (2, 5)]
    assert few.owners == sorted(few.owners)
    assert set(few.owners) == {0, 1}


def test_other_windows_and_other_seeds_are_other_questions(decoder: LoadedModel, encoder: LoadedModel) -> None:
    examples = tiny_documents()
    decoded = [
        causal.encode(examples, tokenizer=decoder.tokenizer, max_length=length, stride=stride).questions_sha256
        for length, stride in ((16, 8), (16, 8), (16, 4), (12, 8))
    ]
    encoded = [
        masked.encode(examples, tokenizer=encoder.tokenizer, max_length=16, seed=seed).questions_sha256
        for seed in (0, 1)
    ]
    assert decoded[0] == decoded[1]
    assert len({*decoded, *encoded}) == 5


def test_documents_with_nothing_to_predict(decoder: LoadedModel) -> None:
    examples = tiny_documents(3)
    short = dataclasses.replace(examples, texts=(examples.texts[0], "film", "film"))
    with pytest.raises(DataError, match="2 documents without a token to predict") as caught:
        causal.encode(short, tokenizer=decoder.tokenizer, max_length=16)
    assert caught.value.where == "first: 'doc-1', document 2 of 3"


@pytest.mark.parametrize("stride", [0, 16, 99])
def test_a_stride_that_would_leave_tokens_out(decoder: LoadedModel, stride: int) -> None:
    with pytest.raises(UsageError, match=f"a stride of {stride}") as caught:
        causal.encode(tiny_documents(), tokenizer=decoder.tokenizer, max_length=16, stride=stride)
    assert "from 1 to 15" in str(caught.value.why)


def test_pairs_are_no_documents(decoder: LoadedModel) -> None:
    pairs = dataclasses.replace(tiny_documents(2), text_pairs=("a", "b"))
    with pytest.raises(DataError, match="pairs of texts"):
        causal.encode(pairs, tokenizer=decoder.tokenizer, max_length=16)
