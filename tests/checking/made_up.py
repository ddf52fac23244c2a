"""A kernel that is exact, and ways to spoil it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager

import numpy as np
import torch

from gelu_patch.activations import activations
from gelu_patch.kernels import Accepted, Bound, Kernel, Rejected, kernels, register_kernel

NAME = "made_up"
Spoil = Callable[[np.ndarray, np.ndarray], np.ndarray]


def untouched(x, y):
    return y


class _Exact(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, activation, spoil, spoil_slope):
        ctx.save_for_backward(x)
        ctx.slope = lambda x: spoil_slope(x, activation.derivative(x))
        return _rounded(x, lambda x: spoil(x, activation.formula(x)))

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * _rounded(x, ctx.slope), None, None, None


def _rounded(x, function):
    with np.errstate(all="ignore"):
        return torch.from_numpy(np.asarray(function(x.double().numpy()))).to(x.dtype)


class MadeUp(Kernel):
    """The float64 formula, rounded once, and ``spoil`` applied to its values or slopes: (x, y) -> y."""

    name = NAME
    version = "1"
    priority = -1

    def __init__(self, spoil: Spoil, spoil_slope: Spoil, limit: float, beyond: bool) -> None:
        self.spoil, self.spoil_slope, self.limit, self.beyond = spoil, spoil_slope, limit, beyond

    def answer(self, request):
        return (
            Accepted("exact") if request.activation.startswith("gelu") else Rejected("it has GELU only", "ask nicely")
        )

    def function(self, activation):
        return lambda x: _Exact.apply(x, activations.get(activation), self.spoil, self.spoil_slope)

    def saved_tensors(self, activation):
        return 1

    def bound(self, activation, dtype):
        limits = torch.finfo(dtype)
        # One ulp, and one step of the subnormal numbers: PyTorch rounds float64 to bfloat16 in two steps.
        return Bound(limits.tiny * limits.eps, limits.eps, min(self.limit, limits.max), self.beyond)

    gradient_bound = bound


@contextmanager
def registered(spoil: Spoil = untouched, spoil_slope: Spoil = untouched, *, limit: float = np.inf, beyond: bool = True):
    register_kernel(MadeUp(spoil, spoil_slope, limit, beyond))
    try:
        yield
    finally:
        kernels.unregister(NAME)
