"""``down(act(z))`` in training: one function, so that one kernel serves the whole backward pass of the activation.

Autograd asks for what the Linear has saved, the activation, before it asks for the gradient that comes through it. Here
that gradient comes first, and then one launch gives the gradient of z, the activation again and the sums for the bias
of the Linear before it. Only where the code shows that the Linear is the one reader (``sites/inline/pairs.py``).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn

from gelu_patch.blocks.product import Product, product_of
from gelu_patch.kernels import KernelActivation
from gelu_patch.kernels.autograd import Elementwise, by_autograd, served
from gelu_patch.kernels.sums import Sums


class Postponed:
    """Stands for ``activation(z)`` until a Linear takes it."""

    def __init__(self, z: torch.Tensor, activation: KernelActivation, kernel: Elementwise) -> None:
        self.z, self.activation, self.kernel = z, activation, kernel

    def through(self, down: nn.Module) -> Any:
        """Return ``down(activation(z))``, of shape (..., out features), for a Linear that the guards let through."""
        if not served(self.kernel, self.z):
            return down(self.activation(self.z))
        z, weight, bias, transposed, _ = product_of(down, self.z).as_autocast_has_it()
        return _Down.apply(z, weight, bias, transposed, self.kernel)  # type: ignore[no-untyped-call]


class _Down(torch.autograd.Function):
    """``f(z) @ weight.T + bias`` by PyTorch's products, keeping z and the weight."""

    @staticmethod
    def forward(
        ctx: Any,
        z: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        transposed: bool,
        kernel: Elementwise,
    ) -> torch.Tensor:
        ctx.save_for_backward(z, weight)
        ctx.transposed, ctx.kernel, ctx.sums = transposed, kernel, Sums.requested(z)
        return Product(kernel.forward(z), weight, bias, transposed).by("torch")

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        z, weight = ctx.saved_tensors
        kernel: Elementwise = ctx.kernel
        rows = grad.reshape(-1, grad.shape[-1])
        by_bias = rows.sum(0) if ctx.needs_input_grad[2] else None
        if torch.is_grad_enabled() or not served(kernel, grad, z):
            return *by_autograd(partial(_without_bias, kernel, ctx.transposed), (z, weight), grad), by_bias, None, None
        by_z = rows @ (weight.t() if ctx.transposed else weight)  # of the activation, until the kernel overwrites it
        activated = torch.empty_like(by_z)
        assert kernel.slope_again_with_sums is not None
        sums = kernel.slope_again_with_sums(by_z, activated, z.view(by_z.shape), by_z)
        by_z = by_z.view(z.shape)
        if ctx.sums is not None:
            ctx.sums.give(by_z, sums)
        by_weight = activated.t() @ rows if ctx.transposed else rows.t() @ activated
        return by_z, by_weight, by_bias, None, None


def _without_bias(kernel: Elementwise, transposed: bool, z: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return Product(kernel(z), weight, None, transposed).by("torch")
