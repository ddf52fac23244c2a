"""Small models with awkward sites: the smallest thing that shows each way of holding an activation."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from tests import zoo_inline as inline
from tests.zoo_inline import WIDTH, Inline


class Mlp(nn.Module):
    """Linear, activation, Linear, with the activation in an attribute."""

    def __init__(self, act: object) -> None:
        super().__init__()
        self.up = nn.Linear(WIDTH, 16)
        self.act = act
        self.down = nn.Linear(16, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(self.act(self.up(x)))


class GatedMlp(nn.Module):
    """The MLP of T5-v1.1 and of Gemma, without dropout."""

    def __init__(self, act: nn.Module) -> None:
        super().__init__()
        self.gate, self.up = nn.Linear(WIDTH, 16, bias=False), nn.Linear(WIDTH, 16, bias=False)
        self.act, self.down = act, nn.Linear(16, WIDTH, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(self.act(self.gate(x)) * self.up(x))


class Stack(nn.Module):
    """Blocks run one after the other."""

    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(blocks)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class HandWrittenGelu(nn.Module):
    """A GELU class that nobody has registered."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 0.5 * x * (1 + torch.erf(x / 2**0.5))


class Dictionary(nn.Module):
    """Activations in a ModuleDict, run by name."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(WIDTH, WIDTH)
        self.steps = nn.ModuleDict({"first": nn.GELU(), "second": nn.GELU("tanh")})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.steps["second"](self.steps["first"](self.up(x)))


def shared_instance() -> nn.Module:
    act = nn.GELU()
    return Stack(Mlp(act), Mlp(act))


def shared_parent() -> nn.Module:
    block = Mlp(nn.GELU())
    return Stack(block, block)


def global_instance() -> nn.Module:
    from transformers.activations import gelu

    return Stack(Mlp(gelu), Mlp(gelu))


def shared_inline() -> nn.Module:
    block = Inline()
    return Stack(block, block)


@dataclass(frozen=True)
class Awkward:
    """A model, and how many sites and owners it has, and how often GELU runs in one forward."""

    build: Callable[[], nn.Module]
    sites: int
    owners: int
    executions: int


ZOO = {
    "submodule": Awkward(lambda: Mlp(nn.GELU()), 1, 1, 1),
    "tanh": Awkward(lambda: Mlp(nn.GELU("tanh")), 1, 1, 1),
    "shared instance": Awkward(shared_instance, 1, 2, 2),
    "shared parent": Awkward(shared_parent, 1, 1, 2),
    "global instance": Awkward(global_instance, 1, 2, 2),
    "sequential": Awkward(lambda: nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH)), 1, 1, 1),
    "module dict": Awkward(Dictionary, 2, 2, 2),
    "function in an attribute": Awkward(lambda: Stack(Mlp(F.gelu), Mlp(F.gelu)), 2, 2, 2),
    "partial in an attribute": Awkward(lambda: Mlp(functools.partial(F.gelu, approximate="tanh")), 1, 1, 1),
    "hand-written class": Awkward(lambda: Mlp(HandWrittenGelu()), 1, 1, 1),
    "inline beside a site": Awkward(lambda: Stack(Mlp(nn.GELU()), Inline()), 2, 2, 2),
    "inline twice": Awkward(lambda: Stack(Inline(), Inline()), 2, 2, 2),
    "inline, shared parent": Awkward(shared_inline, 1, 1, 2),
    "inline, flavours": Awkward(inline.Flavoured, 2, 2, 2),
    "inline, hand-written function": Awkward(inline.HandWrittenFunction, 1, 1, 1),
    "inline, global modules": Awkward(inline.GlobalModule, 2, 2, 2),
    "inline, look-up": Awkward(inline.LookUp, 1, 1, 1),
    "inline, built in the forward": Awkward(inline.BuiltInForward, 1, 1, 1),
    "inline, formula": Awkward(inline.Formula, 1, 1, 1),
    "inline, tanh formula": Awkward(inline.TanhFormula, 1, 1, 1),
    "inline, decorated": Awkward(inline.Decorated, 1, 1, 1),
    "inline, inherited": Awkward(inline.Derived, 1, 1, 1),
    "inline, through super()": Awkward(inline.CallsSuper, 1, 1, 1),
    "inline, nested function": Awkward(inline.OwnSuper, 1, 1, 2),
    "inline, inside a formula": Awkward(inline.InsideAFormula, 1, 1, 1),
    "inline, several methods": Awkward(inline.TwoMethods, 3, 3, 2),
}


def example_input() -> torch.Tensor:
    return torch.linspace(-3, 3, 4 * WIDTH).reshape(4, WIDTH)


def tiny_bert(head: str = "BertForMaskedLM", layers: int = 3, **config: object) -> nn.Module:
    import transformers

    config = transformers.BertConfig(
        hidden_size=32, num_hidden_layers=layers, num_attention_heads=2, intermediate_size=64, vocab_size=100, **config
    )
    return getattr(transformers, head)(config).eval()


def tiny_gpt2(**config: object) -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(n_layer=2, n_embd=32, n_head=2, vocab_size=100, **config)).eval()


def tiny_llama() -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, vocab_size=100)
    ).eval()


def tokens() -> dict[str, torch.Tensor]:
    return {"input_ids": torch.arange(1, 17).reshape(2, 8)}


def logits(model: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(**tokens())[0].clone()
