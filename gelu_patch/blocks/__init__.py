"""Linear+GELU and gated GELU computed as one, in the forward of the module that holds both."""

from gelu_patch.blocks.block import Block
from gelu_patch.blocks.follow import follow, fusable

__all__ = ["Block", "follow", "fusable"]
