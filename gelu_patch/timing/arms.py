"""The arms of a measurement: module shells over the same parameters, each with its own activation."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from itertools import chain

from torch import nn

from gelu_patch.patching import patch_model

STOCK = "stock"


def shell_of(model: nn.Module) -> nn.Module:
    """Return a second module tree over the very same parameters and buffers, to be patched on its own.

    Two arms then differ in nothing but the activation: same weights, same memory, same layout.
    """
    shared = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    return copy.deepcopy(model, memo=shared)


def arms_of(model: nn.Module, targets: Iterable[str]) -> dict[str, nn.Module]:
    """Return ``{"stock": ..., target: ...}``: one shell for each target, patched; ``model`` is not touched.

    ``stock`` is the model as it was given. Raises what ``patch_model`` raises.
    """
    arms = {STOCK: shell_of(model)}
    for target in targets:
        arms[target] = shell_of(model)
        patch_model(arms[target], target)
    return arms
