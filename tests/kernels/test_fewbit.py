"""GELU with a gradient of few bits: what it gives, what it keeps, and what it survives."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad

from gelu_patch.activations import activations
from gelu_patch.activations.fewbit import STEPS
from gelu_patch.kernels import KernelActivation, kernels
from gelu_patch.kernels.fewbit import _levels, _packed
from gelu_patch.kernels.recompute import observing

every_activation = pytest.mark.parametrize("name", STEPS)


def function(name):
    return kernels.get("fewbit").function(name)


def slope(name, x):
    return torch.from_numpy(activations.get(name).derivative(x.detach().double().numpy())).to(x.dtype)


def rows(n=1000):
    return torch.linspace(-4, 4, n)


@every_activation
def test_the_values_are_those_of_gelu_with_and_without_gradients(name):
    gelu = kernels.get("cpu").function("gelu")
    x = rows()
    assert torch.equal(function(name)(x), gelu(x))
    assert torch.equal(function(name)(x.clone().requires_grad_()), gelu(x))


@every_activation
@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 8, 9, 1000])
def test_packing_loses_nothing_whatever_is_left_over(name, n):
    x = torch.randn(n)
    packed = _packed(x, STEPS[name])
    assert packed.dtype == torch.uint8
    assert packed.numel() <= n * STEPS[name].bits / 8 + 3
    assert torch.equal(_levels(packed, x, STEPS[name]), slope(name, x))


@every_activation
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_the_gradient(name, dtype):
    x = rows().to(dtype).requires_grad_()
    upstream = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    function(name)(x).backward(upstream)
    expected = upstream.double() * torch.from_numpy(activations.get(name).derivative(x.detach().double().numpy()))
    assert x.grad.dtype == dtype
    assert torch.allclose(x.grad.double(), expected, rtol=torch.finfo(dtype).eps, atol=1e-8)


@every_activation
def test_a_boundary_and_infinities_belong_where_the_formula_says(name):
    x = torch.tensor([*STEPS[name].boundaries, -torch.inf, torch.inf, 0.0, -0.0], requires_grad=True)
    function(name)(x).sum().backward()
    assert torch.equal(x.grad, slope(name, x))


@every_activation
def test_strided_inputs(name):
    x = rows(24).reshape(4, 6)
    for each in (x.t(), x[:, ::2], x[0].expand(4, 6)):
        leaf = each.detach().requires_grad_()
        (grad,) = torch.autograd.grad(function(name)(leaf).sum(), leaf)
        assert torch.equal(grad, slope(name, each.contiguous()))


@every_activation
def test_it_keeps_so_many_bits_of_an_element(name):
    kept = []
    x = rows(1024).requires_grad_()
    with observing(kept.append):
        y = function(name)(x)
    assert [tensor.untyped_storage().nbytes() for tensor in kept] == [1024 * STEPS[name].bits // 8]
    del y


@every_activation
def test_second_derivatives(name):
    """The gradient is linear in what comes from above, and a step function of x."""
    x = rows().requires_grad_()
    upstream = torch.ones_like(x).requires_grad_()
    (first,) = torch.autograd.grad(function(name)(x), x, upstream, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), upstream)
    assert torch.equal(second, slope(name, x))


@every_activation
def test_transforms_and_forward_mode(name):
    x = rows()
    expected = slope(name, x)
    assert torch.equal(torch.vmap(torch.func.grad(function(name)))(x), expected)
    assert torch.equal(torch.func.grad(lambda x: function(name)(x).sum())(x), expected)
    assert torch.equal(torch.func.jvp(function(name), (x,), (torch.ones_like(x),))[1], expected)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x.clone().requires_grad_(), torch.ones_like(x))
        assert torch.equal(forward_ad.unpack_dual(function(name)(dual)).tangent, expected)


@every_activation
def test_forward_mode_without_gradients(name):
    x = rows()
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, torch.ones_like(x))
        assert torch.equal(forward_ad.unpack_dual(function(name)(dual)).tangent, slope(name, x))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the compiler's own
@every_activation
def test_compiled_and_exported(name):
    torch.manual_seed(0)
    act = KernelActivation(name, "fewbit", original=nn.GELU(), origin="gelu")
    model = nn.Sequential(nn.Linear(8, 8), act, nn.Linear(8, 8))
    x = torch.randn(4, 8)
    model(x).sum().backward()
    expected = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    torch.compile(model, fullgraph=True)(x).sum().backward()
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        assert torch.allclose(parameter.grad, gradient, atol=1e-6)
    exported = torch.export.export(model.eval(), (x,))
    assert torch.allclose(exported.module()(x), model(x), atol=1e-6)
