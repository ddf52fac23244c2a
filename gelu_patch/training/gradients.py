"""The size of the gradient: in all, for clipping, and for each group of layers, as evidence of stability."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

EMBEDDINGS, HEAD = "embeddings", "head"


def layer_groups(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Return the trainable parameters of ``model`` by group: ``embeddings``, each layer by its path, and ``head``.

    A layer is an element of the outermost ``nn.ModuleList`` around a parameter. What stands in none is part of the
    embeddings when its path or its module says so, otherwise of the head.
    """
    modules = dict(model.named_modules())
    groups: dict[str, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault(_group(name, modules), []).append(parameter)
    return dict(sorted(groups.items(), key=lambda item: _place(item[0])))


def _group(name: str, modules: dict[str, nn.Module]) -> str:
    parts = name.split(".")
    for end in range(1, len(parts) - 1):
        if isinstance(modules.get(".".join(parts[:end])), nn.ModuleList):
            return ".".join(parts[: end + 1])
    owner = modules.get(".".join(parts[:-1]))
    is_embedding = isinstance(owner, nn.Embedding) or any("embed" in part.lower() for part in parts)
    return EMBEDDINGS if is_embedding else HEAD


def _place(group: str) -> tuple[int, list[int | str]]:
    """Embeddings first, the head last, layers by number."""
    edge = {EMBEDDINGS: 0, HEAD: 2}.get(group, 1)
    return edge, [int(part) if part.isdigit() else part for part in group.split(".")] if edge == 1 else []


def group_norms(groups: dict[str, list[nn.Parameter]]) -> Tensor:
    """Return the Euclidean norm of each group's gradient: shape ``(groups,)``, 0 where there is none."""
    return torch.stack([_norm(group) for group in groups.values()])


def _norm(group: list[nn.Parameter]) -> Tensor:
    gradients = [p.grad for p in group if p.grad is not None]
    if not gradients:
        return torch.zeros((), device=group[0].device)
    norm = torch.nn.utils.get_total_norm(gradients)
    return (norm.full_tensor() if isinstance(norm, DTensor) else norm).float()


def total_norm(norms: list[float]) -> float:
    """Return the norm of the whole gradient from those of its groups; NaN or infinite when one of them is."""
    return math.sqrt(sum(norm * norm for norm in norms))


def clip(groups: dict[str, list[nn.Parameter]], norm: float, largest: float) -> None:
    """Scale all gradients so that their norm, which is ``norm``, is at most ``largest``.

    As PyTorch's, but without a pass over the gradients when they are small enough already.
    """
    if norm > largest:
        gradients = [p.grad for group in groups.values() for p in group if p.grad is not None]
        torch._foreach_mul_(gradients, largest / (norm + 1e-6))
