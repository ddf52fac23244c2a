"""Documents joined and cut into blocks of one length, for training without padding."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from gelu_patch.errors import DataError, UsageError


def pack(documents: Iterable[list[int]], block_size: int) -> list[list[int]]:
    """Join the token ids of all documents and cut them into blocks, as ``run_clm`` of Transformers does.

    The last tokens that fill no block are dropped. Nothing is put between documents: where a tokenizer marks their
    ends, the marks are in them already. Raises UsageError for a block of one token, which has nothing to predict,
    and DataError when there are too few tokens for one block.
    """
    if block_size < 2:
        raise UsageError(f"block_size {block_size} leaves nothing to predict", next_step="--block_size 512")
    tokens = list(chain.from_iterable(documents))
    whole = len(tokens) // block_size * block_size
    if not whole:
        raise DataError(
            f"there are {len(tokens)} tokens, too few for a block of {block_size}",
            next_step="give more text, or a smaller --block_size",
        )
    return [tokens[begin : begin + block_size] for begin in range(0, whole, block_size)]
