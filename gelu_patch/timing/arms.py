"""The arms of a measurement: module shells over the same parameters, each with its own activation."""

from __future__ import annotations

import random
from collections.abc import Iterable

import torch
from torch import nn

from gelu_patch.errors import NothingToPatch
from gelu_patch.memory import DEFAULT, Memory
from gelu_patch.patching import patch_model
from gelu_patch.patching.shells import shell_of
from gelu_patch.reporting.storage.timings import COMPILED
from gelu_patch.reporting.storage.timings import STOCK as STOCK
from gelu_patch.sites import find_sites


def arms_of(
    model: nn.Module,
    targets: Iterable[str],
    *,
    memory: Memory = DEFAULT,
    compiled: bool = False,
    shuffled: random.Random | None = None,
) -> dict[str, nn.Module]:
    """Return ``{"stock": ..., target: ...}``: one shell for each target, patched; ``model`` is not touched.

    ``stock`` is the model as it was given. ``compiled`` adds a shell for ``torch.compile`` beside each of them. With
    ``shuffled`` the shells are built in a random order, so that the place of an arm in memory is another one in each
    process; the names stay in the order given. Raises what ``patch_model`` raises.
    """
    plain = [STOCK, *dict.fromkeys(targets)]
    names = plain + [name + COMPILED for name in plain if compiled]
    order = list(names)
    if shuffled is not None:
        shuffled.shuffle(order)
    built = {name: _arm(model, name, memory) for name in order}
    return {name: built[name] for name in names}


def _arm(model: nn.Module, name: str, memory: Memory) -> nn.Module:
    shell = shell_of(model)
    target = name.removesuffix(COMPILED)
    if target != STOCK:
        patch_model(shell, target, memory=memory)
    if name != target:
        # One graph for each shape: a dynamic one would be slower, and its second shape compiled at another time.
        shell.compile(dynamic=False)
    return shell


def allow_compiled_graphs(count: int) -> None:
    """Let ``torch.compile`` make ``count`` graphs of one method; beyond its limit it would silently run eagerly."""
    dynamo = torch._dynamo.config
    limit = "recompile_limit" if hasattr(dynamo, "recompile_limit") else "cache_size_limit"
    setattr(dynamo, limit, max(getattr(dynamo, limit), count))


def without_activations(model: nn.Module) -> tuple[nn.Module, int]:
    """Return a shell with nothing in the place of each GELU that can be replaced, and how many these were.

    Raises NothingToPatch when the model has none.
    """
    shell = shell_of(model)
    sites = [site for site in find_sites(shell) if site.is_gelu and site.obstacle is None]
    if not sites:
        raise NothingToPatch(
            f"{type(model).__name__} has no GELU that could be replaced",
            why="no module, attribute or method of it computes GELU",
            next_step="see its activations with `gelu-patch inspect MODEL`",
        )
    for site in sites:
        for owner in site.owners:
            owner.put(nn.Identity())
    return shell, len(sites)
