"""Compiled kernels as operators of PyTorch, which is what `torch.compile` can put into its graphs.

``torch.ops.gelu_patch.activation(x, name)`` and its derivative: known by the activation's name, so that a graph holds
no Python object. They are for compiled code; eager code goes the short way (``autograd.py``).
"""

from __future__ import annotations

from typing import Any, Protocol

import torch


class Implementation(Protocol):
    """What computes an activation on real tensors."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return f(x)."""

    def backward(self, grad: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return grad * f'(x)."""


_implementations: dict[str, Implementation] = {}


def provide(name: str, implementation: Implementation) -> None:
    """Make ``implementation`` what the operator computes for ``name``."""
    _implementations[name] = implementation


def call(x: torch.Tensor, name: str) -> torch.Tensor:
    """Return f(x) by the operator."""
    result: torch.Tensor = torch.ops.gelu_patch.activation(x, name)
    return result


@torch.library.custom_op("gelu_patch::activation", mutates_args=(), device_types="cpu")
def _activation(x: torch.Tensor, name: str) -> torch.Tensor:
    return _implementations[name].forward(x)


@torch.library.custom_op("gelu_patch::activation_backward", mutates_args=(), device_types="cpu")
def _activation_backward(grad: torch.Tensor, x: torch.Tensor, name: str) -> torch.Tensor:
    return _implementations[name].backward(grad, x)


@_activation.register_fake
def _(x: torch.Tensor, name: str) -> torch.Tensor:
    return torch.empty_like(x)


@_activation_backward.register_fake
def _(grad: torch.Tensor, x: torch.Tensor, name: str) -> torch.Tensor:
    return torch.empty_like(x)


def _setup(ctx: Any, inputs: tuple[torch.Tensor, str], output: torch.Tensor) -> None:
    x, ctx.name = inputs
    ctx.save_for_backward(x)


def _differentiate(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
    (x,) = ctx.saved_tensors
    return torch.ops.gelu_patch.activation_backward(grad, x, ctx.name), None


_activation.register_autograd(_differentiate, setup_context=_setup)
