"""The product before an activation: right by both libraries, for all that Linear and Conv1D take."""

import copy

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from gelu_patch.blocks import linear
from gelu_patch.blocks.packed import PackedWeight

LAYERS = {
    "linear": lambda: nn.Linear(24, 40),
    "no bias": lambda: nn.Linear(24, 40, bias=False),
    "Conv1D": lambda: Conv1D(40, 24),
}
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 4e-2, torch.float16: 5e-3}


@pytest.fixture(params=["torch", "onednn"])
def library(request, monkeypatch):
    monkeypatch.setattr(linear, "_choice", lambda product: request.param)
    return request.param


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("shape", [(24,), (1, 24), (7, 24), (2, 5, 24)])
def test_both_libraries(library, layer, dtype, packed, shape):
    module, x = LAYERS[layer]().to(dtype), torch.randn(shape).to(dtype)
    with torch.no_grad():
        expected = module(x)
        found = linear.apply(module, x, PackedWeight() if packed else None)
    assert found.shape == expected.shape
    assert found.is_contiguous()
    assert torch.allclose(found.float(), expected.float(), rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_the_choice_is_made_once_for_a_shape(dtype, monkeypatch):
    monkeypatch.setattr(linear, "_choices", {})
    module, measured = nn.Linear(24, 40).to(dtype), []
    original = linear.measure
    monkeypatch.setattr(linear, "measure", lambda product: measured.append(product.rows) or original(product))
    for rows in (5, 5, 6, 64):
        x = torch.randn(rows, 24).to(dtype)
        with torch.no_grad():
            expected = module(x)
        assert torch.allclose(linear.apply(module, x).float(), expected.float(), rtol=0, atol=TOLERANCE[dtype])
    assert measured == ([5, 64] if not linear.only_torch(dtype) else [])


def test_deterministic_algorithms_are_those_of_torch(monkeypatch):
    monkeypatch.setattr(linear, "faster", lambda seconds: "onednn")
    monkeypatch.setattr(linear, "_choices", {})
    module, x = nn.Linear(24, 40), torch.randn(3, 24)
    torch.use_deterministic_algorithms(True)
    try:
        with torch.no_grad():
            assert torch.equal(linear.apply(module, x), module(x))
    finally:
        torch.use_deterministic_algorithms(False)
    assert not linear._choices


def test_the_variable_turns_the_measurement_off(monkeypatch):
    monkeypatch.setenv(linear.VARIABLE, "torch")
    linear.only_torch.cache_clear()
    try:
        assert linear.only_torch(torch.float32) == "GELU_PATCH_LINEAR=torch"
    finally:
        linear.only_torch.cache_clear()


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
    monkeypatch.setattr(linear, "_choice", lambda product: "onednn")
    module, x, packed = LAYERS[layer](), torch.randn(3, 24), PackedWeight()
    with torch.no_grad():
        before = linear.apply(module, x, packed)
        kept = packed._kept
        assert torch.equal(linear.apply(module, x, packed), before)
        assert packed._kept is kept
        change(module)
        assert torch.allclose(linear.apply(module, x, packed), module(x), atol=1e-5)
        assert packed._kept is not kept


def test_a_packed_weight_is_not_copied(monkeypatch):
    monkeypatch.setattr(linear, "_choice", lambda product: "onednn")
    packed = PackedWeight()
    linear.apply(nn.Linear(24, 40), torch.randn(3, 24), packed)
    assert packed._kept is not None
    assert copy.deepcopy(packed)._kept is None


def test_an_inference_tensor_is_not_packed(monkeypatch):
    monkeypatch.setattr(linear, "_choice", lambda product: "onednn")
    with torch.inference_mode():
        module, x, packed = nn.Linear(24, 40), torch.randn(3, 24), PackedWeight()
        assert torch.allclose(linear.apply(module, x, packed), module(x), atol=1e-5)
    assert packed._kept is None
