"""The kernel "cpu": GELU, SiLU and relu2 in C, faster and closer to the truth than PyTorch's ops.

It serves plain CPU tensors eagerly; everything else (exporting, tracing, transforms, tensor subclasses, other
dtypes) goes to the ATen form of kernel "eager", per call (``autograd.py``).
"""

from __future__ import annotations

from functools import cache

import torch

from gelu_patch.activations.base import activations
from gelu_patch.kernels import operator
from gelu_patch.kernels.autograd import Elementwise
from gelu_patch.kernels.base import Accepted, Answer, Bound, Function, Kernel, Rejected, Request, register_kernel
from gelu_patch.kernels.cpu.library import ACTIVATIONS, ELEMENTS, SLOPE, VALUE, Library, Unavailable, library
from gelu_patch.kernels.eager import EagerKernel

# float32: the largest error of the values in ulp over all levels, measured, and some air. The rational tail of the
# lower levels makes erf's; the AVX-512 level has a third of it.
_ULP = {"gelu": 7.0, "gelu_tanh": 3.0, "gelu_quick": 3.0, "silu": 3.0, "relu2": 1.0}

# Subnormal results of the sigmoid forms may be 0 in float32 and bfloat16.
_FLUSHED = 1.2e-38

# Where the derivatives cross 0, they are differences of numbers near 1.
_CROSSING = 4e-7


class CpuKernel(Kernel):
    """C for AVX-512, AVX2 and any other processor, chosen when it is loaded."""

    name = "cpu"
    version = "1"
    priority = 10
    steps_aside = "export, tracing, vmap, forward-mode and second derivatives, tensor subclasses"

    def answer(self, request: Request) -> Answer:
        """Accept what the C code has, on a CPU, when the extension could be loaded."""
        if request.device != "cpu":
            return Rejected(f"it runs on CPUs, not on {request.device!r}", elsewhere=True)
        if request.activation not in ACTIVATIONS:
            return Rejected(f"it has no {request.activation!r}; it serves {', '.join(ACTIVATIONS)}")
        if request.dtype not in ELEMENTS:
            return Rejected(f"it serves float32, bfloat16 and float16, not {request.dtype}")
        found = library()
        if isinstance(found, Unavailable):
            return Rejected(found.reason, found.next_step)
        return Accepted(", ".join(part for part in (found.level, found.threads) if part))

    def function(self, activation: str) -> Function:
        """Return the function with its derivatives; without the extension, the ATen form."""
        name = activations.get(activation).name
        found = library()
        if isinstance(found, Unavailable):  # a patched model unpickled on another machine
            return EagerKernel().function(name)
        return _function(name, found)

    def saved_tensors(self, activation: str) -> int:
        """Return 1: the input."""
        return 1

    def keeps_input(self, activation: str) -> bool:
        """Return True."""
        return True

    def bound(self, activation: str, dtype: torch.dtype) -> Bound:
        """float32: a few ulp on all normal results. 16-bit: 0.55 ulp, which is one rounding and a little."""
        name = activations.get(activation).name
        return self._bound(dtype, ulp=_ULP[name] if dtype == torch.float32 else 0.55)

    def gradient_bound(self, activation: str, dtype: torch.dtype) -> Bound:
        """As ``bound``; and absolutely where the derivative crosses 0."""
        return self._bound(dtype, ulp=16.0 if dtype == torch.float32 else 0.55, crossing=_CROSSING)

    def _bound(self, dtype: torch.dtype, *, ulp: float, crossing: float = 0.0) -> Bound:
        limits = torch.finfo(dtype)
        step = limits.tiny * limits.eps  # of the subnormal numbers
        return Bound(_FLUSHED + 0.55 * step, ulp * limits.eps, min(limits.max, 3e38), crossing=crossing)


@cache
def _function(activation: str, found: Library) -> Function:
    def value(out: torch.Tensor, x: torch.Tensor) -> None:
        found.run(activation, x.dtype, VALUE, out, x)

    def slope(out: torch.Tensor, x: torch.Tensor, grad: torch.Tensor) -> None:
        found.run(activation, x.dtype, SLOPE, out, x, grad)

    fallback, dtypes = EagerKernel().function(activation), frozenset(ELEMENTS)
    kernel = Elementwise(activation, fallback, value, slope, dtypes)
    operator.provide(activation, kernel)
    return kernel


register_kernel(CpuKernel())
