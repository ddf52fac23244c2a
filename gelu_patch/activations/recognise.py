"""From a module, a function or an ACT2FN key to a registered activation: by identity, then by fingerprint.

Identity never looks at a config or at a class name alone: it asks for the exact class that Transformers or
PyTorch builds for a key, with the arguments that the key stands for.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional as F

from gelu_patch.activations.base import activations
from gelu_patch.activations.fingerprint import fingerprint

# Modules and attributes with such a name are worth running to see whether they are an activation.
ACTIVATION_NAME = re.compile(r"gelu|relu|silu|swish|activation|nonlin|act(_?fn|_?func|_?impl)?$", re.IGNORECASE)

_FUNCTIONS: dict[Any, str] = {
    F.gelu: "gelu",
    F.relu: "relu",
    torch.relu: "relu",
    F.silu: "silu",
}


@dataclass(frozen=True)
class Recognition:
    """``activation`` is a registered name, or None with the ``reason``; ``how`` says what it rests on.

    ``how`` is None for a stranger; "identity" without an activation is a known class that is not registered.
    """

    activation: str | None
    how: Literal["identity", "fingerprint"] | None
    reason: str


def looks_like_activation(name: str) -> bool:
    """Tell whether an attribute or class name suggests an activation."""
    return ACTIVATION_NAME.search(name) is not None


def recognise(thing: object) -> Recognition:
    """Map an ACT2FN key, a function, a partial or a module to a registered activation.

    Unknown callables are run once on a small CPU tensor (see ``fingerprint``); modules with parameters,
    buffers or children are never run.
    """
    if isinstance(thing, str):
        if thing in activations:
            return Recognition(activations.get(thing).name, "identity", f"ACT2FN key {thing!r}")
        return Recognition(None, None, f"no registered activation is called {thing!r}")
    name = identify(thing)
    if name is not None:
        return Recognition(name, "identity", "known class or function")
    if type(thing).__module__ == nn.GELU.__module__:
        return Recognition(None, "identity", "an activation of torch.nn that is not registered")
    if not callable(thing):
        return Recognition(None, None, f"{type(thing).__name__} is not callable")
    if isinstance(thing, nn.Module) and _has_state(thing):
        return Recognition(None, None, "it has parameters, buffers or submodules: not a plain activation")
    # `forward`, because calling the module would also run the hooks that somebody put on it.
    found, reason = fingerprint(thing.forward if isinstance(thing, nn.Module) else thing)
    return Recognition(found, "fingerprint" if found else None, reason)


def identify(thing: object) -> str | None:
    """Return the activation of a known class or function without running it, or None."""
    said_by_itself: str | None = getattr(thing, "gelu_patch_activation", None)  # modules of this package
    return said_by_itself or (_module(thing) if isinstance(thing, nn.Module) else _function(thing))


def _has_state(module: nn.Module) -> bool:
    return bool(module._parameters or module._buffers or module._modules)


def _function(thing: object) -> str | None:
    if isinstance(thing, functools.partial) and thing.func is F.gelu and not thing.args:
        return _gelu_flavour(thing.keywords)
    try:
        return _FUNCTIONS.get(thing)
    except TypeError:  # unhashable callables exist
        return None


def _gelu_flavour(keywords: Mapping[str, Any]) -> str | None:
    flavours = {"none": "gelu", "tanh": "gelu_tanh"}
    if set(keywords) - {"approximate"}:
        return None
    return flavours.get(keywords.get("approximate", "none"))


def _module(module: nn.Module) -> str | None:
    if type(module) is nn.GELU:
        return _gelu_flavour({"approximate": module.approximate})
    for arguments, name in _module_classes().get(type(module), ()):
        if all(getattr(module, key, None) == value for key, value in arguments.items()):
            return name
    return None


def _module_classes() -> Mapping[type, tuple[tuple[Mapping[str, Any], str], ...]]:
    """Classes of activation modules; those of Transformers only once somebody has imported them."""
    return _known_classes("transformers.activations" in sys.modules)


@functools.cache
def _known_classes(with_transformers: bool) -> Mapping[type, tuple[tuple[Mapping[str, Any], str], ...]]:
    classes: dict[type, list[tuple[Mapping[str, Any], str]]] = {
        nn.ReLU: [({}, "relu")],
        nn.SiLU: [({}, "silu")],
    }
    if with_transformers:
        from transformers.activations import ACT2CLS  # the table that ACT2FN is made from; never patched

        for key, content in ACT2CLS.items():
            if key in activations:
                kind, arguments = content if isinstance(content, tuple) else (content, {})
                classes.setdefault(kind, []).append((arguments, activations.get(key).name))
    return {kind: tuple(ways) for kind, ways in classes.items()}


def describe(thing: object) -> str:
    """Return the qualified name of a module's class or of a function, for tables and messages."""
    if isinstance(thing, functools.partial):
        keywords = (f"{key}={value!r}" for key, value in thing.keywords.items())
        return f"partial({', '.join([describe(thing.func), *keywords])})"
    if isinstance(thing, nn.Module):
        return type(thing).__qualname__
    said_by_itself: str | None = getattr(thing, "gelu_patch_description", None)  # expressions in code
    return said_by_itself or getattr(thing, "__qualname__", None) or type(thing).__qualname__
