"""The kernel "fewbit": GELU by the best kernel there is, and 2 to 4 bits of an element for the backward pass.

PyTorch's own operations: it finds the step of the derivative in which x lies and packs the number of the level. Where
the next operation keeps the activation's output untouched, ``memory="balanced"`` keeps less *and* has exact gradients;
few bits pay where that output is kept in any case, or is kept changed (dropout after the activation).
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from gelu_patch.activations.base import activations
from gelu_patch.activations.fewbit import STEPS, Steps
from gelu_patch.activations.gelu import GELU
from gelu_patch.kernels.base import Accepted, Answer, Bound, Function, Kernel, Rejected, Request, register_kernel
from gelu_patch.kernels.eager import EagerKernel
from gelu_patch.kernels.plain import is_transformed
from gelu_patch.kernels.select import best_function

# Codes are packed in groups that fill whole bytes: how many codes, how many bytes.
_GROUP = {2: (4, 1), 3: (8, 3), 4: (2, 1)}


class FewBitKernel(Kernel):
    """Serves the activations whose derivative is a step function."""

    name = "fewbit"
    version = "1"
    priority = 0

    def answer(self, request: Request) -> Answer:
        """Accept them on every device, in every floating dtype."""
        if request.activation not in STEPS:
            return Rejected(f"it has no {request.activation!r}; it serves {', '.join(STEPS)}")
        if not request.dtype.is_floating_point:
            return Rejected(f"{request.dtype} is no floating dtype")
        return Accepted()

    def function(self, activation: str) -> Function:
        """Return the function with the step function as its derivative."""
        steps = STEPS[activations.get(activation).name]

        def few_bit_gelu(x: torch.Tensor) -> torch.Tensor:
            # Asked first: a compiler must meet nothing of what follows.
            if not torch.compiler.is_compiling() and is_transformed():
                return _FewBitForward.apply(x, steps)[0]  # type: ignore[no-any-return, no-untyped-call]
            if x.requires_grad and torch.is_grad_enabled():
                return _FewBit.apply(x, steps)[0]  # type: ignore[no-any-return, no-untyped-call]
            return _gelu(x)

        return few_bit_gelu

    def saved_tensors(self, activation: str) -> int:
        """Return 1: the packed codes."""
        return 1

    def bound(self, activation: str, dtype: torch.dtype) -> Bound:
        """Return that of the ATen form, the least exact of those that may give the values."""
        return EagerKernel().bound(GELU.name, dtype)

    def gradient_bound(self, activation: str, dtype: torch.dtype) -> Bound:
        """One rounding, against the step function; its distance from GELU's derivative is declared with it."""
        limits = torch.finfo(dtype)
        return Bound(limits.tiny * limits.eps, limits.eps, limits.max)


def _gelu(x: torch.Tensor) -> torch.Tensor:
    if torch.compiler.is_compiling():
        return F.gelu(x)
    return best_function(GELU.name, x.device.type, x.dtype)(x)


def _packed(x: torch.Tensor, steps: Steps) -> torch.Tensor:
    """The code of every element, packed: bits/8 bytes an element, rounded up to whole groups."""
    values = x if x.dtype == torch.float64 else x.to(torch.float32)
    boundaries = torch.tensor(steps.boundaries, dtype=values.dtype, device=x.device)
    table = torch.tensor(steps.codes, dtype=torch.uint8, device=x.device)
    codes = table[torch.bucketize(values.reshape(-1).contiguous(), boundaries, out_int32=True)]
    n_codes, n_bytes = _GROUP[steps.bits]
    groups = F.pad(codes, (0, -codes.numel() % n_codes)).view(-1, n_codes)
    if n_bytes == 1:
        word = groups[:, 0].clone()
        for place in range(1, n_codes):
            word |= groups[:, place] << (steps.bits * place)
        return word
    word = sum((groups[:, place].to(torch.int32) << (steps.bits * place) for place in range(n_codes)), start=_ZERO)
    return torch.stack([(word >> (8 * place) & 255).to(torch.uint8) for place in range(n_bytes)], dim=1)


_ZERO: Any = 0


def _levels(packed: torch.Tensor, like: torch.Tensor, steps: Steps) -> torch.Tensor:
    """The derivative of every element, in float32 (or float64), in the shape of ``like``."""
    n_codes, n_bytes = _GROUP[steps.bits]
    if n_bytes == 1:
        word = packed
    else:
        parts = packed.to(torch.int32)
        word = sum((parts[:, place] << (8 * place) for place in range(n_bytes)), start=_ZERO)
    mask = 2**steps.bits - 1
    codes = torch.stack([word >> (steps.bits * place) & mask for place in range(n_codes)], dim=1)
    dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
    levels = torch.tensor(steps.levels, dtype=dtype, device=packed.device)
    return levels[codes.reshape(-1)[: like.numel()].int()].view(like.shape)


class _FewBit(torch.autograd.Function):
    """GELU, keeping the packed codes; they are an output too, as transforms want it."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: torch.Tensor, steps: Steps) -> tuple[torch.Tensor, torch.Tensor]:
        return _gelu(x), _packed(x, steps)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.steps = inputs[1]
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])
        ctx.save_for_forward(output[1])

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor, _: Any) -> Any:
        (packed,) = ctx.saved_tensors
        return (grad * _levels(packed, grad, ctx.steps)).to(grad.dtype), None


class _FewBitForward(_FewBit):
    """Also for forward mode. The compiler refuses functions that have a jvp."""

    generate_vmap_rule = True

    @staticmethod
    def jvp(ctx: Any, tangent: torch.Tensor, _: Any) -> Any:
        (packed,) = ctx.saved_tensors
        return (tangent * _levels(packed, tangent, ctx.steps)).to(tangent.dtype), None


register_kernel(FewBitKernel())
