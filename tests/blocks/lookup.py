"""Finding the block of a patched module."""

from __future__ import annotations

from gelu_patch.blocks import Block


def block_of(mlp) -> Block:
    (block,) = (value for value in vars(mlp).values() if isinstance(value, Block))
    return block
