"""Modules whose activations are computed again in backward, and what they keep."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gelu_patch.kernels import KernelActivation, recompute
from gelu_patch.patching.recording import record

WIDTH = 16


def site(memory="balanced", kernel="eager", activation="gelu"):
    return KernelActivation(activation, kernel, original=nn.GELU(), origin="gelu", memory=memory)


class Block(nn.Module):
    """up, activation, whatever comes ``between``, down."""

    def __init__(self, between=lambda h: h, **options):
        super().__init__()
        torch.manual_seed(0)
        self.up, self.down = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.act = site(**options)
        self.between = between

    def forward(self, x):
        return self.down(self.between(self.act(self.up(x))))


def recorded(module):
    record(module)
    return module


def rows():
    return torch.linspace(-3, 3, 4 * WIDTH).reshape(4, WIDTH)


def gradients(module, call=None):
    module.zero_grad()
    (call or module)(rows().requires_grad_()).square().mean().backward()
    return [parameter.grad.clone() for parameter in module.parameters() if parameter.grad is not None]


def same(found, expected):
    return len(found) == len(expected) and all(map(torch.equal, found, expected))


class Spy:
    """Counts what is saved: the elements of tensors that are no parameters, each storage once."""

    def __init__(self, *weights):
        self.sizes = {}
        self._weights = {weight.untyped_storage().data_ptr() for weight in weights}

    def __call__(self, tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._weights:
            self.sizes[storage.data_ptr()] = storage.nbytes() // 4

    @property
    def elements(self):
        return sum(self.sizes.values())


def kept_by(module):
    spy = Spy(*module.parameters())
    with recompute.observing(spy):
        output = module(rows())
    del output
    return spy.elements // rows().numel()


def nothing_left():
    return recompute._innermost() is None and recompute._thread.recording is None


@pytest.fixture(autouse=True)
def no_hooks_left():
    assert nothing_left()
    yield
    assert nothing_left(), "saved-tensor hooks were left behind"
