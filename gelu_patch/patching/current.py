"""What is patched on a model right now, and what it computes at every site."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from gelu_patch.activations.recognise import describe
from gelu_patch.kernels import KernelActivation
from gelu_patch.patching.plan import Change, Plan
from gelu_patch.patching.selectors import SAME_MATHEMATICS
from gelu_patch.sites import Site, find_sites


def patched_sites(model: nn.Module) -> list[Site]:
    """Return the sites of ``model`` that hold an activation of this package."""
    return [site for site in find_sites(model) if isinstance(site.target, KernelActivation)]


def swapped(sites: list[Site]) -> bool:
    """Whether any of these patched sites computes another function than the model came with."""
    return any(site.activation != getattr(site.target, "gelu_patch_origin", None) for site in sites)


def current_plan(model: nn.Module) -> Plan:
    """Return what is patched on ``model`` right now, as a plan from its stock state."""
    changes = tuple(_changes(model))
    names = {change.after if change.changes_mathematics else SAME_MATHEMATICS for change in changes}
    return Plan(model=class_name(model), target=", ".join(sorted(names)) or "stock", changes=changes)


def current_activations(model: nn.Module) -> dict[str, str]:
    """Return the activation at every dotted path of every recognised site: the mathematics of the model."""
    return {name: site.activation for site in find_sites(model) if site.activation for name in site.names}


def class_name(model: nn.Module) -> str:
    """Return the name of the model's class; ``fully_shard`` puts a word in front of it."""
    return type(model).__name__.removeprefix("FSDP")


def _changes(model: nn.Module) -> Iterator[Change]:
    for site in patched_sites(model):
        module = site.target
        assert isinstance(module, KernelActivation)
        yield Change(
            site=site.name,
            owners=site.names,
            form=site.form,
            implementation=describe(_stock(module)),
            before=module.gelu_patch_origin,
            after=module.activation,
            kernel=module.kernel,
        )


def _stock(thing: object) -> object:
    """What stood at the site before its first patch."""
    while isinstance(thing, KernelActivation):
        thing = thing.original
    return thing
