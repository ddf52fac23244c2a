"""Batches hold the right tokens, and the tokenizer's hash sees what it does to text."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gelu_patch.errors import UsageError
from gelu_patch.tasks.encoding import encode_texts, tokenizer_sha256
from gelu_patch.tasks.loading import load_tokenizer

from .tiny import tiny_examples

ONE_LABEL = np.zeros(1, dtype=np.int64)


@pytest.fixture
def tokenizer(encoder_path: Path) -> Any:
    return load_tokenizer(str(encoder_path))


def test_a_batch_is_padded_to_its_longest_example(tokenizer: Any) -> None:
    examples = tiny_examples(8)
    encoded = encode_texts(examples, np.arange(8), tokenizer, 32)
    assert encoded.lengths == [len(text.split()) + 2 for text in examples.texts]
    batch = encoded.batch([2, 0, 4])
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (3, encoded.lengths[4])
    assert batch["attention_mask"].sum(dim=1).tolist() == [encoded.lengths[i] for i in (2, 0, 4)]
    assert batch["labels"].tolist() == [2, 0, 4]
    assert batch["labels"].dtype == torch.int64


def test_texts_are_cut_to_max_length_or_to_the_tokenizers_limit(tokenizer: Any) -> None:
    long = dataclasses.replace(tiny_examples(1), texts=("good " * 100,))
    assert encode_texts(long, ONE_LABEL, tokenizer, 10).lengths == [10]
    assert encode_texts(long, ONE_LABEL, tokenizer, 1000).lengths == [32]


def test_pairs_become_one_sequence(tokenizer: Any) -> None:
    paired = dataclasses.replace(tiny_examples(1), texts=("good film",), text_pairs=("bad plot",))
    encoded = encode_texts(paired, ONE_LABEL, tokenizer, 32)
    assert encoded.features["token_type_ids"] == [[0, 0, 0, 0, 1, 1, 1]]


def test_no_room_for_text(tokenizer: Any) -> None:
    with pytest.raises(UsageError, match="no room for text") as caught:
        encode_texts(tiny_examples(1), ONE_LABEL, tokenizer, 2)
    assert "2 special tokens" in str(caught.value.why)


def test_the_hash_ignores_how_the_tokenizer_was_used(tokenizer: Any, encoder_path: Path) -> None:
    fresh = tokenizer_sha256(load_tokenizer(str(encoder_path)))
    tokenizer("good " * 50, truncation=True, max_length=7, padding="max_length")
    assert tokenizer_sha256(tokenizer) == fresh
    tokenizer.add_tokens(["splendid"])
    assert tokenizer_sha256(tokenizer) != fresh
