"""The bridge to Hugging Face ``kernels``: with the package where it is installed, else with a stand-in of its calls."""

from __future__ import annotations

import copy
import importlib.util
import sys
import types
from contextlib import contextmanager
from enum import Flag, auto

import pytest
import torch
from torch import nn
from transformers import activations as theirs  # before the stand-in: its import asks for kernels
from transformers.utils import import_utils

from gelu_patch.activations import activations
from gelu_patch.errors import EnvironmentProblem
from gelu_patch.integrations import kernels_hub
from gelu_patch.kernels.triton.devices import ARCHITECTURES


class _Mode(Flag):
    INFERENCE = auto()
    TRAINING = auto()
    TORCH_COMPILE = auto()


class StandIn(types.ModuleType):
    """The calls of ``kernels`` that the bridge uses, and a ``kernelize`` that follows the mapping."""

    Mode = _Mode

    def __init__(self) -> None:
        super().__init__("kernels")
        self.mapping: dict = {}

    def Device(self, type, properties):
        return (type, properties)

    def CUDAProperties(self, min_capability, max_capability):
        return (min_capability, max_capability)

    def register_kernel_mapping(self, mapping):
        self.mapping |= mapping

    @contextmanager
    def use_kernel_mapping(self, mapping):
        before, self.mapping = self.mapping, self.mapping | mapping
        yield
        self.mapping = before

    def use_kernel_forward_from_hub(self, name):
        return lambda kind: setattr(kind, "kernel_layer_name", name) or kind

    def kernelize(self, model, mode, device):
        for module in model.modules():
            name = getattr(module, "kernel_layer_name", None)
            if name in self.mapping:
                layer = self.mapping[name][device][mode | _Mode.TORCH_COMPILE].load()
                module.forward = types.MethodType(layer.forward, module)
        return model


@pytest.fixture
def hub(monkeypatch):
    """``kernels``, whichever of the two is here; Transformers is told that it fits."""
    monkeypatch.setattr(import_utils, "is_kernels_available", lambda: True)
    if importlib.util.find_spec("kernels") is None:
        stand_in = StandIn()
        stand_in.__spec__ = importlib.util.spec_from_loader("kernels", loader=None)
        monkeypatch.setitem(sys.modules, "kernels", stand_in)
        return stand_in
    import kernels

    return kernels


def model(hub):
    @hub.use_kernel_forward_from_hub("NewGELU")
    class Slow(nn.Module):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return 0.5 * input * (1.0 + torch.tanh((2 / torch.pi) ** 0.5 * (input + 0.044715 * torch.pow(input, 3.0))))

    return nn.Sequential(nn.Linear(4, 8), Slow(), nn.Linear(8, 4))


@pytest.mark.parametrize("mode", ["INFERENCE", "TRAINING"])
def test_a_layer_is_served_in_both_modes(hub, mode):
    stock, x = model(hub), torch.randn(3, 4)
    ours = copy.deepcopy(stock)
    with kernels_hub.registered("cpu"):
        hub.kernelize(ours, mode=getattr(hub.Mode, mode), device="cpu")
    calls = [node.name() for node in walk(ours(x).grad_fn)]
    assert not [name for name in calls if "Tanh" in name], "still the formula in Python"
    assert torch.allclose(ours(x), stock(x), atol=1e-6)
    for found, expected in zip(gradients(ours, x), gradients(stock, x), strict=True):
        assert torch.allclose(found, expected, atol=1e-5)


def gradients(network, x):
    return torch.autograd.grad(network(x).square().sum(), list(network.parameters()))


def walk(node):
    yield node
    for following, _ in node.next_functions:
        if following is not None:
            yield from walk(following)


def test_every_layer_has_the_mathematics_of_transformers(hub):
    classes = {
        "NewGELU": theirs.NewGELUActivation, "FastGELU": theirs.FastGELUActivation, "GeLU": theirs.GELUActivation,
        "QuickGELU": theirs.QuickGELUActivation, "GeluTanh": theirs.GELUTanh,
    }  # fmt: skip
    assert set(classes) == set(kernels_hub.LAYERS)
    x = torch.linspace(-6, 6, 101)
    for name, kind in classes.items():
        layer = kernels_hub.Repository(name).load()
        assert torch.allclose(layer.forward(layer(), x), kind()(x), atol=1e-6), name
        assert activations.get(kernels_hub.LAYERS[name]).is_gelu


def test_a_gpu_is_served_by_its_architecture_and_in_both_modes(hub):
    mapping = kernels_hub.kernel_mapping()
    assert set(mapping) == set(kernels_hub.LAYERS)
    for name, by_device in mapping.items():
        assert len(by_device) == len(ARCHITECTURES)
        for by_mode in by_device.values():
            assert {hub.Mode.INFERENCE | hub.Mode.TORCH_COMPILE, hub.Mode.TRAINING | hub.Mode.TORCH_COMPILE} == set(
                by_mode
            )
            assert set(by_mode.values()) == {kernels_hub.Repository(name)}


def test_layers_keep_the_rules_of_kernels():
    layer = kernels_hub.Repository("GeLU").load()
    own = {name for name in vars(layer) if not name.startswith("__")}
    assert own == {"forward", "can_torch_compile", "has_backward"}
    assert "__init__" not in vars(layer)


def test_another_version_of_kernels_is_an_error_that_says_what_to_do(monkeypatch):
    monkeypatch.setattr(import_utils, "is_kernels_available", lambda: False)
    with pytest.raises(EnvironmentProblem, match=r"transformers\[kernels\]"):
        kernels_hub.register()
