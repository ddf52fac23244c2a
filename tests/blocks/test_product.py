"""The product before an activation: right by both libraries, for all that Linear and Conv1D take."""

import copy

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from gelu_patch.blocks import libraries
from gelu_patch.blocks.gradient import _again, differentiable
from gelu_patch.blocks.packed import PackedWeight
from gelu_patch.blocks.product import product_of

LAYERS = {
    "linear": lambda: nn.Linear(24, 40),
    "no bias": lambda: nn.Linear(24, 40, bias=False),
    "Conv1D": lambda: Conv1D(40, 24),
}
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 4e-2, torch.float16: 5e-3}


def apply(module, x, packed=None):
    with torch.no_grad():
        return libraries.compute(product_of(module, x, packed))


@pytest.fixture(params=["torch", "onednn"])
def library(request, monkeypatch):
    monkeypatch.setattr(libraries, "choose", lambda product: request.param)
    return request.param


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("shape", [(24,), (1, 24), (7, 24), (2, 5, 24)])
def test_both_libraries(library, layer, dtype, packed, shape):
    module, x = LAYERS[layer]().to(dtype), torch.randn(shape).to(dtype)
    with torch.no_grad():
        expected = module(x)
        found = apply(module, x, PackedWeight() if packed else None)
    assert found.shape == expected.shape
    assert found.is_contiguous()
    assert torch.allclose(found.float(), expected.float(), rtol=0, atol=TOLERANCE[dtype])


def in_place(module):
    module.weight.mul_(2)


def new_data(module):
    module.weight.data = module.weight.data * 2


def behind_the_version(module):
    module.weight.data.mul_(2)


def loaded(module):
    module.load_state_dict({name: 2 * value for name, value in module.state_dict().items()})


def new_parameter(module):
    module.weight = nn.Parameter(2 * module.weight.detach())


@pytest.mark.parametrize("change", [in_place, new_data, behind_the_version, loaded, new_parameter])
@pytest.mark.parametrize("layer", ["linear", "Conv1D"])
def test_a_packed_weight_follows_the_weight(change, layer, monkeypatch):
    monkeypatch.setattr(libraries, "choose", lambda product: "onednn")
    module, x, packed = LAYERS[layer](), torch.randn(3, 24), PackedWeight()
    with torch.no_grad():
        before = apply(module, x, packed)
        kept = packed._kept
        assert torch.equal(apply(module, x, packed), before)
        assert packed._kept is kept
        change(module)
        assert torch.allclose(apply(module, x, packed), module(x), atol=1e-5)
        assert packed._kept is not kept


def test_a_packed_weight_is_not_copied(monkeypatch):
    monkeypatch.setattr(libraries, "choose", lambda product: "onednn")
    packed = PackedWeight()
    apply(nn.Linear(24, 40), torch.randn(3, 24), packed)
    assert packed._kept is not None
    assert copy.deepcopy(packed)._kept is None


def test_an_inference_tensor_is_not_packed(monkeypatch):
    monkeypatch.setattr(libraries, "choose", lambda product: "onednn")
    with torch.inference_mode():
        module, x, packed = nn.Linear(24, 40), torch.randn(3, 24), PackedWeight()
        assert torch.allclose(apply(module, x, packed), module(x), atol=1e-5)
    assert packed._kept is None


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("shape", [(24,), (7, 24), (2, 5, 24)])
@pytest.mark.parametrize("frozen", [(), ("weight", "bias"), ("x",), ("weight",)])
def test_the_gradients_are_those_of_the_module(library, layer, shape, frozen):
    module, x = LAYERS[layer](), torch.randn(shape, requires_grad="x" not in frozen)
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name not in frozen)
    wanted = [x] * x.requires_grad + [p for p in module.parameters() if p.requires_grad]
    grad = torch.randn(*shape[:-1], 40)
    expected = torch.autograd.grad(module(x), wanted, grad)
    found = torch.autograd.grad(differentiable(product_of(module, x)), wanted, grad)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == theirs.shape
        assert ours.is_contiguous()
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("layer", ["linear", "Conv1D"])
def test_second_derivatives_and_many_gradients_at_once(library, layer):
    module, x = LAYERS[layer](), torch.randn(7, 24, requires_grad=True)

    def penalty(function):
        (slope,) = torch.autograd.grad(function(x).tanh().sum(), x, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), [x, module.weight])

    def product(x):
        return differentiable(product_of(module, x))

    for ours, theirs in zip(penalty(product), penalty(module), strict=True):
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-5)
    many = torch.randn(3, 7, 40)
    (ours,) = torch.autograd.grad(product(x), x, many, is_grads_batched=True)
    (theirs,) = torch.autograd.grad(module(x), x, many, is_grads_batched=True)
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("layer", LAYERS)
def test_what_is_not_kept_is_multiplied_again_as_it_was_the_first_time(layer, monkeypatch):
    asked, compute = [], libraries.compute
    monkeypatch.setattr(libraries, "compute", lambda product: asked.append(product) or compute(product))
    module, x = LAYERS[layer](), torch.randn(2, 5, 24)
    _, weight, bias, *_ = product_of(module, x)
    differentiable(product_of(module, x))
    _again(x, weight if layer == "Conv1D" else weight.t(), bias)
    first, again = ((each.weight.shape, each.weight.stride(), each.transposed) for each in asked)
    assert first == again
    assert first[2] == (layer == "Conv1D")


def test_many_gradients_at_once_are_pytorch_s(library, monkeypatch):
    asked, compute = [], libraries.compute
    monkeypatch.setattr(libraries, "compute", lambda product: asked.append(product) or compute(product))
    x = torch.randn(7, 24, requires_grad=True)
    out = differentiable(product_of(nn.Linear(24, 40), x))
    torch.autograd.grad(out, x, torch.randn(3, 7, 40), is_grads_batched=True, retain_graph=True)
    assert len(asked) == 1, "the forward"
    torch.autograd.grad(out, x, torch.randn(7, 40))
    assert len(asked) == 2


def test_a_weight_that_is_no_parameter_any_more():
    """As FSDP leaves it: a view of a flat parameter, as a plain attribute."""
    module, x = nn.Linear(24, 40), torch.randn(3, 24)
    weight = module.weight.detach().clone()
    del module.weight
    module.weight = 2 * weight
    assert torch.allclose(apply(module, x), module(x), atol=1e-5)


def test_a_frozen_weight_keeps_no_input():
    module, x = nn.Linear(24, 40), torch.randn(3, 24, requires_grad=True)
    module.weight.requires_grad_(False)
    out = differentiable(product_of(module, x))
    function = out.grad_fn.next_functions[0][0]  # below the view
    assert function.saved_tensors[0] is None
    assert function.saved_tensors[1].data_ptr() == module.weight.data_ptr()
