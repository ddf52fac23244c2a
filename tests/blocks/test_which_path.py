"""Which way a block takes on a CPU where the kernel, the activation or the library is another than usual."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from gelu_patch.blocks import guards, libraries
from gelu_patch.blocks.product import product_of
from gelu_patch.kernels import KernelActivation
from gelu_patch.kernels.triton.kernel import elementwise
from gelu_patch.patching import patch_model
from tests.blocks.lookup import block_of
from tests.zoo import GatedMlp, Mlp
from tests.zoo_inline import WIDTH, Inline


@pytest.fixture
def x():
    return torch.randn(5, WIDTH)


@pytest.mark.parametrize("build", [lambda: GatedMlp(nn.GELU()), Inline], ids=["gated", "an expression"])
def test_inference_writes_the_activation_in_the_place_of_the_product(build, x, monkeypatch):
    model = build().eval()
    reference, in_place, original = copy.deepcopy(model), [], torch.Tensor.mul_
    patch_model(model, "gelu_fused")
    monkeypatch.setattr(torch.Tensor, "mul_", lambda gate, other: in_place.append(gate) or original(gate, other))
    with torch.no_grad():
        assert torch.allclose(model(x), reference(x), atol=1e-6)
    assert len(in_place) == isinstance(model, GatedMlp), "the gate is nobody else's, so the product goes there"


def test_an_activation_without_launches_runs_after_the_linear(x):
    model = Mlp(nn.GELU())
    patch_model(model, "gelu_fused")
    model._modules["act"] = KernelActivation("relu", "eager", nn.GELU(), "gelu")
    assert guards.kernel_for(model.act, product_of(model.up, x)) is None
    assert torch.equal(model(x), model.down(model.up(x).relu()))


def test_a_kernel_of_another_device_hands_over_to_the_one_here(x):
    activation = KernelActivation("gelu", "cpu", nn.GELU(), "gelu")
    here = activation.function
    activation.function = elementwise("gelu")
    assert guards.kernel_for(activation, product_of(nn.Linear(WIDTH, 16), x)) is here


@pytest.mark.parametrize("memory", ["speed", "balanced"])
def test_a_second_copy_of_the_weight_is_kept_when_it_was_asked_for(memory, x, monkeypatch):
    monkeypatch.setattr(libraries, "choose", lambda product: "onednn")
    model = Mlp(nn.GELU()).eval()
    patch_model(model, "gelu_fused", memory=memory)
    with torch.no_grad():
        model(x)
    assert (block_of(model)._packed._kept is not None) == (memory == "speed")


def test_a_call_that_is_under_way_while_a_patch_is_undone_ends_by_it(x):
    model = Inline()
    patch = patch_model(model, "gelu_tanh")
    block, expected = block_of(model), model(x)
    patch.revert()
    assert torch.equal(block(x), expected)
    assert not torch.equal(model(x), expected)
