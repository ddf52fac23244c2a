"""What is patched on a model right now, and what it computes at every site."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import nn

from gelu_patch.activations.base import activations
from gelu_patch.activations.recognise import describe
from gelu_patch.blocks import fusable
from gelu_patch.kernels import KernelActivation, Rejected, Request, kernels
from gelu_patch.memory import DEFAULT, Memory
from gelu_patch.patching.plan import Change, Plan
from gelu_patch.patching.selectors import SAME_MATHEMATICS
from gelu_patch.sites import Site, find_sites
from gelu_patch.sites.base import places
from gelu_patch.sites.inline.reading import expressions_of, stock_class


def patched_sites(model: nn.Module) -> list[Site]:
    """Return the sites of ``model`` that hold an activation of this package."""
    return [site for site in find_sites(model) if isinstance(site.target, KernelActivation)]


def patched_parts(module: nn.Module) -> list[KernelActivation]:
    """Return the activations of this package anywhere in ``module``; quicker than to find all sites."""
    return [
        thing
        for part in module.modules()
        for thing in (part, *vars(part).values())
        if isinstance(thing, KernelActivation)
    ]


def swapped(parts: Iterable[object]) -> bool:
    """Whether any of these activations computes another function than the model came with."""
    return any(isinstance(part, KernelActivation) and part.activation != part.gelu_patch_origin for part in parts)


def gives_other_values(parts: Iterable[object]) -> bool:
    """Whether any of these gives other values than the model came with; not when only its derivative differs."""
    return any(
        isinstance(part, KernelActivation) and _values(part.activation) != _values(part.gelu_patch_origin)
        for part in parts
    )


def _values(name: str) -> str:
    return activations.get(name).values


def current_plan(model: nn.Module) -> Plan:
    """Return what is patched on ``model`` right now, as a plan from its stock state."""
    changes = tuple(_changes(model))
    names = {change.after if change.changes_mathematics else SAME_MATHEMATICS for change in changes}
    return Plan(
        model=class_name(model), target=", ".join(sorted(names)) or "stock", memory=_memory(model), changes=changes
    )


def current_activations(model: nn.Module) -> dict[str, str]:
    """Return the activation at every dotted path of every recognised site: the mathematics of the model's forward.

    Where only the derivative differs from another activation, that one is named, because a checkpoint computes it.
    Look-ups in a method, such as ``ACT2FN[self.config.hidden_act](x)``, are in it also when they give no GELU.
    """
    sites = [site for site in find_sites(model) if site.activation]
    found = {name: _values(str(site.activation)) for site in sites for name in site.names}
    # What an activation module computes inside is its own affair.
    inside = {id(part) for site in sites if isinstance(site.target, nn.Module) for part in site.target.modules()}
    for place in places(model):
        for expression in () if id(place.module) in inside else expressions_of(stock_class(type(place.module))):
            activation = expression.activation_of(place.module).activation
            if activation is not None:
                for name in place.child_names(expression.key):
                    found.setdefault(name, activation)
    return found


def fallen_back(model: nn.Module) -> dict[str, str]:
    """Return, by site, why a kernel that was put there does not serve what the model is now; PyTorch's ops run instead.

    A patched model that is cast to another dtype can come to that.
    """
    reasons = {}
    for site in patched_sites(model):
        module = site.target
        assert isinstance(module, KernelActivation)
        answer = kernels.get(module.kernel).answer(request_at(model, site, module.activation))
        if isinstance(answer, Rejected) and not answer.elsewhere:  # elsewhere the best kernel of that device serves
            reasons[site.name] = answer.reason
    return reasons


def request_at(model: nn.Module, site: Site, activation: str) -> Request:
    """Return what is asked of a kernel there, by the parameters of the parent or the model."""
    for module in (*(owner.parent for owner in site.owners), model):
        for parameter in module.parameters():
            if parameter.is_floating_point():
                return Request(activation, parameter.device.type, parameter.dtype)
    return Request(activation, "cpu", torch.get_default_dtype())


def class_name(model: nn.Module) -> str:
    """Return the name of the class that the model was built with, whatever stands in for it now."""
    name: str = stock_class(type(model)).__name__
    return name


def _memory(model: nn.Module) -> Memory:
    """The memory mode of all patched sites; the default when they differ, because a plan has one."""
    modes = {part.memory for part in patched_parts(model)}
    return modes.pop() if len(modes) == 1 else DEFAULT


def _changes(model: nn.Module) -> Iterator[Change]:
    for site in patched_sites(model):
        module = site.target
        assert isinstance(module, KernelActivation)
        yield Change(
            site=site.name,
            owners=site.names,
            form=site.form,
            implementation=describe(module.stock),
            before=module.gelu_patch_origin,
            after=module.activation,
            kernel=module.kernel,
            fused_with=fusable(site, module.function),
        )
