"""Random module trees with aliases, as recipes: one recipe can be built twice, or with other activations."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import nn
from transformers.activations import ACT2FN

from tests.zoo import HandWrittenGelu

WIDTH = 4
GELUS: dict[str, Callable[[], object]] = {
    "gelu": nn.GELU,
    "tanh": lambda: nn.GELU("tanh"),
    "hand-written": HandWrittenGelu,
    "ACT2FN gelu_new": lambda: ACT2FN["gelu_new"],
    "ACT2FN quick_gelu": lambda: ACT2FN["quick_gelu"],
    "function": lambda: F.gelu,
    "partial": lambda: functools.partial(F.gelu, approximate="tanh"),
}
OTHERS: dict[str, Callable[[], object]] = {
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "tanh, no GELU": nn.Tanh,
    "relu function": lambda: F.relu,
    "dropout": lambda: nn.Dropout(0.0),
}


class Block(nn.Module):
    """A Linear and an activation, which is a submodule when it is a module."""

    def __init__(self, act: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.up, self.act = nn.Linear(WIDTH, WIDTH), act

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.up(x))


class Tied(Block):
    """One activation under two names."""

    def __init__(self, act: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__(act)
        self.activation_fn = act

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.activation_fn(super().forward(x))


class Hidden(Block):
    """The activation is a plain attribute, also when it is a module."""

    def __init__(self, act: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__(nn.Identity())
        del self.act
        vars(self)["act_fn"] = act

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act_fn(self.up(x))


class Listed(nn.Module):
    """Parts in a ModuleList; maybe none."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.register_module("absent_act", None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functools.reduce(lambda y, part: part(y), self.parts, x)


class Keyed(nn.Module):
    """Parts in a ModuleDict, run backwards."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({f"part{number}": part for number, part in enumerate(parts)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functools.reduce(lambda y, part: part(y), reversed(list(self.parts.values())), x)


HOLDERS = (Block, Tied, Hidden)
CONTAINERS = (nn.Sequential, Listed, Keyed)


@dataclass(frozen=True)
class Recipe:
    """``acts`` are names; ``holders`` are (class, number of its activation); ``containers`` are (class, parts).

    A part is a number in the list of everything that was made before (activation modules, holders, containers), so
    that a part can have several parents, and no tree has a cycle. The last container, around all that is left, is the
    model.
    """

    acts: tuple[str, ...]
    holders: tuple[tuple[int, int], ...]
    containers: tuple[tuple[int, tuple[int, ...]], ...]

    def build(self, gelus: dict[str, Callable[[], object]] = GELUS) -> Model:
        acts = [(gelus | OTHERS)[name]() for name in self.acts]
        made = [act for act in acts if isinstance(act, nn.Module)]
        made += [HOLDERS[kind](acts[act]) for kind, act in self.holders]
        for kind, parts in self.containers:
            made.append(CONTAINERS[kind](*(made[part % len(made)] for part in parts)))
        model = Listed(*made[len(acts) :], *made[-2:]) if len(made) > len(acts) else Listed(*made)
        return Model(model, acts, [name in GELUS for name in self.acts])

    def with_relu(self) -> nn.Module:
        """The model with ReLU wherever a GELU was: what a swap to ReLU must compute."""
        relu = {name: (lambda: F.relu) if name in ("function", "partial") else nn.ReLU for name in GELUS}
        return self.build(relu).model


@dataclass
class Model:
    """A built tree, with the activations that went in and which of these are GELUs."""

    model: nn.Module
    acts: list[object]
    is_gelu: list[bool]

    def gelu_places(self) -> set[tuple[int, str]]:
        """(id of the parent, key) of every place that holds a GELU, found by looking everywhere."""
        gelus = [act for act, is_gelu in zip(self.acts, self.is_gelu, strict=True) if is_gelu]
        return {(id(p), key) for p, key, thing in holdings(self.model) if any(thing is gelu for gelu in gelus)}


def holdings(model: nn.Module) -> Iterator[tuple[nn.Module, str, object]]:
    """Everything that any module of ``model`` refers to by a name."""
    for module in model.modules():
        for key, thing in [*vars(module).items(), *module._modules.items()]:
            yield module, key, thing


def snapshot(model: nn.Module) -> list[tuple[int, str, int]]:
    """What the model consists of, by identity and in order: two snapshots are equal when nothing was changed."""
    places = [(id(parent), key, id(thing)) for parent, key, thing in holdings(model)]
    return places + [(0, key, 0) for key in model.state_dict()]


_ANY = st.integers(0, 50)


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    """Trees of up to four activations, which are used up to six times, and up to five containers."""
    acts = draw(st.lists(st.sampled_from([*GELUS, *OTHERS]), min_size=1, max_size=4))
    holders = st.tuples(st.integers(0, len(HOLDERS) - 1), st.integers(0, len(acts) - 1))
    containers = st.tuples(st.integers(0, len(CONTAINERS) - 1), st.lists(_ANY, max_size=4).map(tuple))
    return Recipe(
        tuple(acts),
        tuple(draw(st.lists(holders, min_size=1, max_size=6))),
        tuple(draw(st.lists(containers, max_size=5))),
    )


def example_input() -> torch.Tensor:
    return torch.linspace(-2, 2, 3 * WIDTH).reshape(3, WIDTH)
