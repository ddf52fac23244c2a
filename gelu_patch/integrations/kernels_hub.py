"""Hugging Face ``kernels``: ``use_kernels=True`` of Transformers takes this package's GELUs, in training, too.

By default that option has layers for inference only, so a model in training mode goes back to Python formulas. Ours are
registered for both modes, in this process, without files or network. For Linear+GELU and gated GELU as one, for
undoing, and for every GELU that has no such class, use ``gelu_patch.patch_model``.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from gelu_patch.environment import package_version
from gelu_patch.errors import EnvironmentProblem
from gelu_patch.kernels import best_function
from gelu_patch.kernels.eager import EagerKernel
from gelu_patch.kernels.triton.devices import ARCHITECTURES

# The names of Transformers' layers (the argument of ``use_kernel_forward_from_hub``), and what they compute.
LAYERS = {
    "NewGELU": "gelu_tanh",
    "FastGELU": "gelu_tanh",
    "GeluTanh": "gelu_tanh",
    "GeLU": "gelu",
    "QuickGELU": "gelu_quick",
}


def _layer(activation: str) -> type[nn.Module]:
    """A class of which ``kernels`` takes the forward: it may have no ``__init__`` and no other members."""

    aten = EagerKernel().function(activation)

    def forward(self: nn.Module, input: torch.Tensor) -> torch.Tensor:
        if torch.compiler.is_compiling():
            return aten(input)
        return best_function(activation, input.device.type, input.dtype)(input)

    members: dict[str, Any] = {"forward": forward, "can_torch_compile": True, "has_backward": True}
    return type(f"GeluPatch_{activation}", (nn.Module,), members)


class Repository:
    """What ``kernels`` asks for a layer; this one is in the process already."""

    def __init__(self, layer_name: str) -> None:
        self.layer_name = layer_name

    def load(self) -> type[nn.Module]:
        """Return the layer."""
        return _layer(LAYERS[self.layer_name])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Repository) and other.layer_name == self.layer_name

    def __hash__(self) -> int:
        return hash((Repository, self.layer_name))

    def __str__(self) -> str:
        return f"gelu_patch (in this process), layer {self.layer_name}"


def kernel_mapping(device: str = "cuda") -> dict[str, dict[Any, Any]]:
    """Return the mapping to give to ``kernels``: every layer, on every GPU that the Triton kernels serve.

    Each architecture has an entry of its own: ``kernels`` prefers the narrowest, so they also stand beside those
    that Transformers registers again whenever a model asks for kernels. On other devices there is one entry.
    Raises EnvironmentProblem when ``kernels`` is not installed, or not in the version that Transformers takes.
    """
    kernels = _package()
    modes = kernels.Mode
    both = (modes.INFERENCE | modes.TORCH_COMPILE, modes.TRAINING | modes.TORCH_COMPILE)
    keys = [device] if device != "cuda" else [_key(kernels, 10 * major + minor) for major, minor in ARCHITECTURES]
    return {name: {key: dict.fromkeys(both, Repository(name)) for key in keys} for name in LAYERS}


def _key(kernels: Any, capability: int) -> Any:
    return kernels.Device("cuda", kernels.CUDAProperties(min_capability=capability, max_capability=capability))


def _package() -> Any:
    from transformers.utils import import_utils

    wanted = import_utils.is_kernels_available()
    if find_spec("kernels") is None or not wanted:
        found = package_version("kernels") or "none"
        raise EnvironmentProblem(
            "Transformers cannot take kernels from outside here",
            why=f"of the package `kernels` {found} is installed, and this Transformers takes certain versions only",
            next_step='pip install "transformers[kernels]"; or patch the model itself: gelu_patch.patch_model(model)',
        )
    return importlib.import_module("kernels")


def register(device: str = "cuda") -> None:
    """Register the layers for the rest of the process. Raises EnvironmentProblem as ``kernel_mapping``."""
    _package().register_kernel_mapping(kernel_mapping(device))


@contextmanager
def registered(device: str = "cuda") -> Iterator[None]:
    """Register the layers inside of the block only."""
    with _package().use_kernel_mapping(kernel_mapping(device)):
        yield
