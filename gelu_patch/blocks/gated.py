"""``act(gate) * other`` in one pass: a block hands on the gate without its activation, and the product applies it.

Only where the code shows that the product is the one reader of the gate (``sites/inline/pairs.py``).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from gelu_patch.kernels import KernelActivation, recompute
from gelu_patch.kernels.autograd import Elementwise, Gated, by_autograd, served


class Pending:
    """Stands for ``activation(gate)`` until it is multiplied."""

    def __init__(self, gate: torch.Tensor, activation: KernelActivation, kernel: Elementwise) -> None:
        self.gate, self.activation, self.kernel = gate, activation, kernel

    def __mul__(self, other: Any) -> Any:
        """Return ``activation(gate) * other``; without gradients in the memory of the gate, which nobody else has."""
        gate, kernel = self.gate, self.kernel
        if not _is_served(kernel, gate, other):
            return self.activation(gate) * other
        if torch.is_grad_enabled() and (gate.requires_grad or other.requires_grad):
            out: torch.Tensor = _Gated.apply(gate, other, kernel)  # type: ignore[no-untyped-call]
            if self.activation.memory != "speed":
                recompute.note(out, partial(_value, kernel), gate, other)
            return out
        _launches(kernel).value(gate, gate, other)
        return gate


def _is_served(kernel: Elementwise, gate: torch.Tensor, other: Any) -> bool:
    """Whether one pass can compute the product as PyTorch would: no broadcasting, no promotion, no other order."""
    return (
        not torch.compiler.is_compiling()
        and type(other) is torch.Tensor
        and (other.shape, other.dtype) == (gate.shape, gate.dtype)
        and gate.is_contiguous()
        and other.is_contiguous()
        and served(kernel, gate, other)
    )


def _launches(kernel: Elementwise) -> Gated:
    assert kernel.gated is not None
    return kernel.gated


def _value(kernel: Elementwise, gate: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    out = torch.empty_like(gate)
    _launches(kernel).value(out, gate, other)
    return out


class _Gated(torch.autograd.Function):
    """f(gate) * other, keeping both."""

    @staticmethod
    def forward(ctx: Any, gate: torch.Tensor, other: torch.Tensor, kernel: Elementwise) -> torch.Tensor:
        ctx.save_for_backward(gate, other)
        ctx.kernel = kernel
        return _value(kernel, gate, other)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        gate, other = ctx.saved_tensors
        kernel: Elementwise = ctx.kernel
        if torch.is_grad_enabled() or not (served(kernel, grad, gate, other) and grad.dtype == gate.dtype):
            return *by_autograd(lambda gate, other: kernel(gate) * other, (gate, other), grad), None
        by_gate, by_other = torch.empty_like(gate), torch.empty_like(other)
        _launches(kernel).slopes(by_gate, by_other, gate, other, grad.contiguous())
        return by_gate, by_other, None
