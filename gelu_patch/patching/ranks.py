"""Whether every process of a distributed run holds the same patch.

DDP and FSDP copy weights between ranks, not activations: a rank that was left unpatched trains another function,
and nothing else says so.
"""

from __future__ import annotations

import hashlib
import json
from typing import TypeVar

import torch.distributed as dist
from torch import nn

from gelu_patch.errors import PatchConflict
from gelu_patch.patching.current import current_plan

T = TypeVar("T")
NOT_PATCHED = "not patched"


def check_ranks(model: nn.Module) -> None:
    """Compare what is patched on ``model`` across all ranks of the default process group.

    Every rank must call it. Quiet when all agree, and without a process group. Raises PatchConflict on every
    rank, naming the first site that differs and which ranks have what, when sites, activations or kernels differ.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return
    mine = {
        change.site: f"{change.before} -> {change.after} by {change.kernel} (owners: {', '.join(change.owners)})"
        for change in current_plan(model).changes
    }
    # All ranks see all digests, so they agree on whether the second round takes place.
    if len(set(_gather(hashlib.sha256(json.dumps(sorted(mine.items())).encode()).hexdigest()))) == 1:
        return
    everyone = _gather(mine)
    sites = dict.fromkeys(site for patched in everyone for site in patched)
    differing = [site for site in sites if len({patched.get(site) for patched in everyone}) > 1]
    ranks: dict[str, list[str]] = {}
    for rank, patched in enumerate(everyone):
        ranks.setdefault(patched.get(differing[0], NOT_PATCHED), []).append(str(rank))
    raise PatchConflict(
        f"the ranks are patched differently at {len(differing)} of {len(sites)} patched sites",
        where=differing[0],
        why="; ".join(f"rank {', '.join(numbers)}: {state}" for state, numbers in ranks.items()),
        next_step="call gelu_patch.patch_model(model, target, where) alike on every rank, "
        "or gelu_patch.unpatch_model(model) on every rank",
    )


def _gather(mine: T) -> list[T]:
    everyone: list[T | None] = [None] * dist.get_world_size()
    dist.all_gather_object(everyone, mine)
    return [item for item in everyone if item is not None]
