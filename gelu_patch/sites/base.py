"""WHERE a model uses an activation: a site, with all its owners.

One activation object may sit under two names, under two parents, or be one global object that every model of
the process shares. A site is the object; its owners are the places that refer to it. It is replaced at every
owner or at none, and the object itself is never edited.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from types import MethodType
from typing import Literal, cast

from torch import nn

from gelu_patch.activations.base import activations
from gelu_patch.activations.recognise import Recognition

Form = Literal["module", "attribute", "inline"]


@dataclass(frozen=True)
class Owner(ABC):
    """A place in a module that uses an activation.

    ``names`` are all dotted paths of the place; several when the parent itself is shared.
    """

    parent: nn.Module
    key: str
    names: tuple[str, ...]

    @property
    @abstractmethod
    def form(self) -> Form:
        """How the place holds it."""

    @property
    @abstractmethod
    def current(self) -> object:
        """What is there now, or None."""

    @abstractmethod
    def put(self, thing: object) -> None:
        """Set the place, so that a thread which runs the model meanwhile meets the old or the new thing."""


@dataclass(frozen=True)
class _SlotOwner(Owner):
    """A dictionary of the parent refers to the object."""

    @property
    @abstractmethod
    def slots(self) -> dict[str, object]:
        """The dictionary."""

    @property
    def current(self) -> object:
        """The object that is there now, or None."""
        return self.slots.get(self.key)

    def put(self, thing: object) -> None:
        """Set the place with one assignment, which is atomic."""
        self.slots[self.key] = thing


class SubmoduleOwner(_SlotOwner):
    """``parent._modules[key]``, which also covers Sequential, ModuleList and ModuleDict."""

    @property
    def form(self) -> Form:
        """A registered submodule."""
        return "module"

    @property
    def slots(self) -> dict[str, object]:
        """The registered submodules; torch types them as modules, `put` keeps to that."""
        return cast(dict[str, object], self.parent._modules)


class AttributeOwner(_SlotOwner):
    """``parent.__dict__[key]``."""

    @property
    def form(self) -> Form:
        """A plain attribute."""
        return "attribute"

    @property
    def slots(self) -> dict[str, object]:
        """The attributes of the instance."""
        return self.parent.__dict__


@dataclass(frozen=True)
class Site:
    """One activation object in a model.

    ``implementation`` is its class or function name. ``obstacle`` says why it must not be replaced, if so.
    """

    target: object
    owners: tuple[Owner, ...]
    recognition: Recognition
    implementation: str
    obstacle: str | None = None

    @property
    def activation(self) -> str | None:
        """The registered name of the mathematics, or None when it is not recognised."""
        return self.recognition.activation

    @property
    def is_gelu(self) -> bool:
        """Whether the model put a GELU here; also true after a patch put something else in its place."""
        origin = getattr(self.target, "gelu_patch_origin", self.activation)
        return origin is not None and activations.get(origin).is_gelu

    @property
    def name(self) -> str:
        """The first dotted path, by which tables and messages call the site."""
        return self.owners[0].names[0]

    @property
    def names(self) -> tuple[str, ...]:
        """Every dotted path of every owner."""
        return tuple(name for owner in self.owners for name in owner.names)

    @property
    def form(self) -> Form:
        """Whether it is a submodule, a callable attribute, or code in a method."""
        return self.owners[0].form


@dataclass(frozen=True)
class Candidate:
    """What a finder reports: a thing that may be an activation, at one owner.

    A finder that knows already what it computes, or why it must not be replaced, says so.
    """

    target: object
    owner: Owner
    recognition: Recognition | None = None
    obstacle: str | None = None


@dataclass(frozen=True)
class Place:
    """A module of the model with all its dotted paths (the root is called "")."""

    module: nn.Module
    names: tuple[str, ...]

    def child_names(self, key: str) -> tuple[str, ...]:
        """Return the dotted paths of this place's child ``key``."""
        return tuple(f"{name}.{key}" if name else key for name in self.names)


def places(model: nn.Module) -> Iterator[Place]:
    """Yield every module once, with every name under which it can be reached."""
    names: dict[int, list[str]] = {}
    modules: dict[int, nn.Module] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        names.setdefault(id(module), []).append(name)
        modules[id(module)] = module
    for key, module in modules.items():
        yield Place(module, tuple(names[key]))


def is_own_method(module: nn.Module, kind: type, value: object) -> bool:
    """Tell whether ``value`` is a method of ``kind``, bound to the module."""
    return (
        isinstance(value, MethodType)
        and value.__self__ is module
        and value.__func__ is getattr(kind, value.__name__, None)
    )


def forward_is_replaced(thing: object) -> bool:
    """Tell whether somebody put another forward on a module, as the hooks of accelerate do."""
    if not isinstance(thing, nn.Module) or "forward" not in vars(thing):
        return False
    # accelerate leaves the module's own forward there when it removes a hook; that is no replacement.
    return not is_own_method(thing, type(thing), vars(thing)["forward"])
