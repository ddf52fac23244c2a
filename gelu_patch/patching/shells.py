"""Module trees over the parameters of another: two of them differ in nothing but what is patched."""

from __future__ import annotations

import copy
from itertools import chain

from torch import nn


def shell_of(model: nn.Module) -> nn.Module:
    """Return a second module tree over the very same parameters and buffers, to be patched on its own.

    Two arms then differ in nothing but the activation: same weights, same memory, same layout.
    """
    shared = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    return copy.deepcopy(model, memo=shared)
