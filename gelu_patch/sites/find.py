"""All sites of a model: run every finder, recognise the candidates, group them by object."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from gelu_patch.activations.recognise import Recognition, describe, identify, looks_like_activation, recognise
from gelu_patch.errors import UnsupportedModel
from gelu_patch.sites.base import Candidate, Site, forward_is_replaced, places
from gelu_patch.sites.finders import finders

_INSTANCE_FORWARD = (
    "its forward is replaced on the instance, as the hooks of accelerate and the kernels package do, and a replacement "
    "would drop that; patch before the hooks are added, or take them off (accelerate.hooks.remove_hook_from_module)"
)


_FAST_PATH = (
    "torch.nn.TransformerEncoderLayer has a fast path, for inference, that runs its own GELU whatever stands here; "
    "set activation_relu_or_gelu = 0 on the layer to switch that off"
)


def find_sites(model: nn.Module) -> list[Site]:
    """Return every activation site of ``model`` in the order of its modules; recognised or not.

    No parameter is read, so models on the meta device are fine. Raises UnsupportedModel when ``model`` is no
    ``nn.Module`` or cannot be edited.
    """
    check_model(model)
    groups: dict[tuple[int, str], list[Candidate]] = {}
    inside_a_site: set[int] = set()  # GELUActivation keeps F.gelu in its own attribute `act`
    known: dict[int, Recognition] = {}
    for place in places(model):
        if id(place.module) in inside_a_site:
            inside_a_site.update(id(child) for child in place.module.children())
            continue
        for finder in finders:
            for candidate in finder.find(place):
                found = candidate.recognition or known.setdefault(id(candidate.target), _recognise(candidate))
                if isinstance(candidate.target, nn.Module) and found.activation:
                    inside_a_site.add(id(candidate.target))
                if found.activation or _worth_reporting(candidate):
                    groups.setdefault(_identity(candidate), []).append(replace(candidate, recognition=found))
    return [_site(group) for group in groups.values()]


def check_model(model: object) -> nn.Module:
    """Return ``model`` when it is an ``nn.Module`` that can be edited; raise UnsupportedModel otherwise."""
    if not isinstance(model, nn.Module):
        raise UnsupportedModel(
            f"{type(model).__name__} is not a torch.nn.Module",
            why="sites are replaced on the modules of a PyTorch model",
            next_step="load it first, for example with transformers.AutoModel.from_pretrained(...)",
        )
    if isinstance(model, torch.jit.ScriptModule):
        raise UnsupportedModel(
            "a scripted or traced model cannot be patched",
            where=type(model).__name__,
            why="its activations are compiled into the graph",
            next_step="patch the model first, then call torch.jit.script or torch.jit.trace",
        )
    return model


def _recognise(candidate: Candidate) -> Recognition:
    """Known things by identity; strangers are run only when their name says activation: they may do anything."""
    name = identify(candidate.target)
    if name is not None:
        return Recognition(name, "identity", "known class or function")
    if forward_is_replaced(candidate.target) or not _worth_reporting(candidate):
        return Recognition(None, None, "neither known nor named like an activation")
    return recognise(candidate.target)


def _worth_reporting(candidate: Candidate) -> bool:
    own_name = describe(candidate.target).rsplit(".", 1)[-1]
    return looks_like_activation(candidate.owner.key) or looks_like_activation(own_name)


def _identity(candidate: Candidate) -> tuple[int, str]:
    # A module object under several owners is one site. A plain function is shared by the whole process and
    # has no state, so each attribute that holds it is a site of its own.
    if isinstance(candidate.target, nn.Module):
        return id(candidate.target), ""
    return id(candidate.target), candidate.owner.names[0]


def _site(group: list[Candidate]) -> Site:
    first = group[0]
    assert first.recognition is not None  # find_sites has set it
    return Site(
        target=first.target,
        owners=tuple(candidate.owner for candidate in group),
        recognition=first.recognition,
        implementation=describe(first.target),
        obstacle=first.obstacle or _obstacle(group),
    )


def _obstacle(group: list[Candidate]) -> str | None:
    if forward_is_replaced(group[0].target):
        return _INSTANCE_FORWARD
    parents = (candidate.owner.parent for candidate in group if candidate.owner.key == "activation")
    if any(isinstance(p, nn.TransformerEncoderLayer) and p.activation_relu_or_gelu for p in parents):
        return _FAST_PATH
    return None
