"""The arms of a measurement: module shells over the same parameters, each with its own activation."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from gelu_patch.patching import patch_model
from gelu_patch.patching.shells import shell_of

STOCK = "stock"


def arms_of(model: nn.Module, targets: Iterable[str]) -> dict[str, nn.Module]:
    """Return ``{"stock": ..., target: ...}``: one shell for each target, patched; ``model`` is not touched.

    ``stock`` is the model as it was given. Raises what ``patch_model`` raises.
    """
    arms = {STOCK: shell_of(model)}
    for target in targets:
        arms[target] = shell_of(model)
        patch_model(arms[target], target)
    return arms
