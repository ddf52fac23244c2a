"""Blocks hold the tokens of the documents, in order, each once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gelu_patch.errors import DataError, UsageError
from gelu_patch.tasks.packing import pack


@given(st.lists(st.lists(st.integers(0, 9), max_size=9), max_size=9), st.integers(2, 7))
def test_blocks_hold_the_tokens_in_order(documents: list[list[int]], block_size: int) -> None:
    tokens = [token for document in documents for token in document]
    if len(tokens) < block_size:
        with pytest.raises(DataError, match="too few"):
            pack(documents, block_size)
        return
    blocks = pack(documents, block_size)
    assert {len(block) for block in blocks} == {block_size}
    assert [token for block in blocks for token in block] == tokens[: len(blocks) * block_size]
    assert len(tokens) - len(blocks) * block_size < block_size


def test_a_block_of_one_token() -> None:
    with pytest.raises(UsageError, match="block_size 1"):
        pack([[1, 2]], 1)
