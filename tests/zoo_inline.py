"""Small models whose GELU is code in a method: one for each way of writing it."""

from __future__ import annotations

import functools
import math

import torch
import torch.nn.functional as F
from torch import nn
from transformers import activations as library
from transformers.activations import ACT2FN
from transformers.activations import gelu as global_gelu

WIDTH = 8


class Up(nn.Module):
    """A Linear in front; the subclasses write the GELU."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(WIDTH, WIDTH)


class Inline(Up):
    """F.gelu written in the forward: no object to replace."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.gelu(self.up(x))


class Flavoured(Up):
    """The flavour is an argument of the call, which spans lines; a comment and a trailing comma beside it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.gelu(
            self.up(x),  # a comment
            approximate="tanh",
        )
        return nn.functional.gelu(input=x)


def gelu(x):
    """Written by hand, like that of ESM."""
    return x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0)))


class HandWrittenFunction(Up):
    """A function of the model file."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return gelu(self.up(x))


class GlobalModule(Up):
    """The objects that every model of the process shares, by two spellings."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return global_gelu(self.up(x)) + library.quick_gelu(x)


class LookUp(Up):
    """ACT2FN asked in the forward, by an attribute of the model."""

    def __init__(self, hidden_act: str = "gelu_new") -> None:
        super().__init__()
        self.config = _Config(hidden_act)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return ACT2FN[self.config.hidden_act](self.up(x))


class BuiltInForward(Up):
    """A module made for one call."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.GELU(approximate="tanh")(self.up(x))


class Formula(Up):
    """gate * sigmoid(alpha * gate), the quick GELU of experts; with another alpha it is none."""

    def __init__(self, alpha: float = 1.702) -> None:
        super().__init__()
        self.alpha = alpha
        self.limit = 7.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate = self.up(x).clamp(max=self.limit)
        glu = gate * torch.sigmoid(gate * self.alpha)
        return (x + 1) * glu


class TanhFormula(Up):
    """The tanh form over two lines."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.up(x)
        return 0.5 * y * (1.0 + torch.tanh(
            math.sqrt(2.0 / math.pi) * (y + 0.044715 * torch.pow(y, 3.0))
        ))  # fmt: skip


def shouting(function):
    """A decorator of the usual kind."""

    @functools.wraps(function)
    def wrapper(self, *args, **kwargs):
        assert wrapper is not None  # refers to itself
        return function(self, *args, **kwargs) + 1

    return wrapper


class Decorated(Up):
    """Two decorators around the forward, defaults, and a private name."""

    def __init__(self) -> None:
        super().__init__()
        self.__secret = 2.0

    @shouting
    @torch.no_grad()
    @shouting
    def forward(self, x: torch.Tensor, *, factor: float = 3.0) -> torch.Tensor:
        return F.gelu(self.up(x)) * factor * self.__secret


class Derived(Inline):
    """The forward is inherited."""


class CallsSuper(Inline):
    """The GELU is in the forward of the base class, reached through super()."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + 1


class OwnSuper(Up):
    """A forward that uses super() itself, in a nested function and a comprehension."""

    def extra_repr(self) -> str:
        return "own"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        def activate(values):
            return [F.gelu(value) for value in values]

        return torch.stack(activate([self.up(x), x])).sum(0) + len(super().extra_repr())


class TwoMethods(Up):
    """One in the forward, one in a method that it calls, one in a method that nobody calls."""

    def gate(self, x: torch.Tensor) -> torch.Tensor:
        return F.gelu(x)

    def unused(self, x: torch.Tensor) -> torch.Tensor:
        return F.gelu(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.gelu(self.gate(self.up(x)))


class InsideAFormula(Up):
    """A GELU inside of a formula that is none."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(F.gelu(x) - 1.0)


class _Config:
    def __init__(self, hidden_act: str) -> None:
        self.hidden_act = hidden_act
