"""The ways of finding sites. Adding one is one function with one ``register_finder``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import nn

from gelu_patch.activations.recognise import looks_like_activation
from gelu_patch.registry import Registry
from gelu_patch.sites.base import AttributeOwner, Candidate, Place, SubmoduleOwner


@dataclass(frozen=True)
class Finder:
    """``find`` looks at one module of a model and yields the candidates that this module owns."""

    name: str
    find: Callable[[Place], Iterator[Candidate]]


finders: Registry[Finder] = Registry("site finder")


def register_finder(finder: Finder) -> Finder:
    """Add a way of finding sites. Raises UsageError when its name is taken."""
    return finders.register(finder)


def _is_plain(module: nn.Module) -> bool:
    """An activation has nothing of its own; wrappers and quantisers, which have, are searched inside."""
    return not (module._parameters or module._buffers or module._modules)


def _submodules(place: Place) -> Iterator[Candidate]:
    """Registered submodules."""
    for key, child in place.module._modules.items():
        if child is not None and _is_plain(child):
            yield Candidate(child, SubmoduleOwner(place.module, key, place.child_names(key)))


def _attributes(place: Place) -> Iterator[Candidate]:
    """Callables kept in attributes, such as ``self.act = F.gelu``, that are named like an activation."""
    for key, value in place.module.__dict__.items():
        elsewhere = key == "forward" or key.startswith("_gelu_patch_")  # the finder of expressions reports these
        if callable(value) and not elsewhere and _names_an_activation(key, value):
            yield Candidate(value, AttributeOwner(place.module, key, place.child_names(key)))


def _names_an_activation(key: str, value: object) -> bool:
    function = getattr(value, "func", value)  # the function of a partial
    name = getattr(function, "__name__", type(value).__name__)
    # A class kept in an attribute (`self.act_class = nn.GELU`) is not what runs.
    return not isinstance(value, type) and (looks_like_activation(key) or looks_like_activation(name))


register_finder(Finder("submodule", _submodules))
register_finder(Finder("attribute", _attributes))
