"""Models whose backward pass takes one launch, and what their tests look at."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from gelu_patch.patching import patch_model
from tests.blocks.gradients import gradients
from tests.zoo import Mlp
from tests.zoo_inline import WIDTH

MODES = ("speed", "balanced", "max")
modes = pytest.mark.parametrize("memory", ["balanced", "max"])


class InSteps(Mlp):
    """GPT-2's MLP: Conv1D, a statement for each step, dropout at the end."""

    def __init__(self) -> None:
        super().__init__(nn.GELU("tanh"))
        self.up, self.down, self.dropout = Conv1D(16, WIDTH), Conv1D(WIDTH, 16), nn.Dropout(0.0)

    def forward(self, x):
        x = self.up(x)
        x = self.act(x)
        x = self.down(x)
        return self.dropout(x)


class WithoutBias(Mlp):
    def __init__(self) -> None:
        super().__init__(nn.GELU())
        self.up, self.down = nn.Linear(WIDTH, 16, bias=False), nn.Linear(16, WIDTH, bias=False)


MLPS = {"nested, Linear": lambda: Mlp(nn.GELU()), "in steps, Conv1D": InSteps, "without bias": WithoutBias}
mlps = pytest.mark.parametrize("build", MLPS.values(), ids=MLPS.keys())


def assert_same_bits(found, expected):
    for name, gradient in expected.items():
        assert (found[name] is None) == (gradient is None), name
        assert gradient is None or torch.equal(found[name], gradient), name


def as_before(model, x, memory, monkeypatch, **options):
    """The gradients of the two modules, one after the other, in the same memory mode."""
    with monkeypatch.context() as context:
        without_capability(context)
        with patch_model(model, "gelu_fused", memory=memory):
            return gradients(model, x, **options)


def without_capability(monkeypatch):
    """Kernels as they are without the one launch."""
    from gelu_patch.blocks import guards

    monkeypatch.setattr(guards, "may_take_down", lambda *_: False)
