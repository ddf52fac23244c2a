"""Training blocks of a language model: all text, once, in order, and nothing shorter than a block."""

from __future__ import annotations

import pytest

from gelu_patch.errors import DataError
from gelu_patch.tasks.base import tasks
from gelu_patch.tasks.loading import load_tokenizer
from tests.tasks.tiny import save_tiny_gpt2, tiny_documents


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return load_tokenizer(str(save_tiny_gpt2(tmp_path_factory.mktemp("gpt2"))))


def encode(tokenizer, n, size):
    return tasks.get("causal-lm").encode_for_training(tiny_documents(n), tokenizer=tokenizer, max_length=size)


def test_all_text_is_in_the_blocks_once_with_an_end_after_each_document(tokenizer):
    documents = tiny_documents(12)
    expected = []
    for text in documents.texts:
        expected += [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]
    data = encode(tokenizer, 12, 16)
    found = [token for block in data.features["input_ids"] for token in block]
    assert set(data.lengths) == {16}
    assert found == expected[: len(found)]
    assert len(expected) - len(found) < 16
    batch = data.batch([0, 1])
    assert batch["labels"].tolist() == batch["input_ids"].tolist()
    assert bool(batch["attention_mask"].all())


def test_a_corpus_shorter_than_one_block(tokenizer):
    with pytest.raises(DataError, match="shorter than one block") as caught:
        encode(tokenizer, 1, 32)
    assert "a block has 32" in str(caught.value.why)
    assert "--block_size" in str(caught.value.next_step)
