"""The Triton kernels on a CPU, by Triton's interpreter: their values and everything around them, without a GPU.

The interpreter is chosen when triton is imported (``conftest.py``), on machines without a GPU only. It has no
approximate instructions and its bfloat16 stores cut the last bits off instead of rounding.
"""

from __future__ import annotations

import importlib.util
import os

import pytest
import torch

from gelu_patch.kernels import Accepted, Bound, kernels, register_kernel
from gelu_patch.kernels.triton.kernel import ACTIVATIONS, DTYPES, TritonKernel, elementwise

needs_the_interpreter = [
    pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed"),
    pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") != "1", reason="here is a GPU: tests/test_gpu.py runs"),
    # numpy's, where the programs compute inf and NaN on purpose
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]


class Interpreted(TritonKernel):
    """The kernel as it is, for the device and at the priority that tests need."""

    name = "interpreted"
    priority = 100

    def answer(self, request):
        served = request.activation in ACTIVATIONS and request.device == "cpu" and request.dtype in DTYPES
        return Accepted("Triton's interpreter") if served else super().answer(request)

    def function(self, activation):
        return elementwise(activation, "cpu")

    def bound(self, activation, dtype):
        return truncating(super().bound(activation, dtype), dtype)

    def gradient_bound(self, activation, dtype):
        return truncating(super().gradient_bound(activation, dtype), dtype)


def truncating(bound: Bound, dtype: torch.dtype) -> Bound:
    """Twice the rounding where it is a cut, and no promise about NaN, which loses its mark."""
    if dtype != torch.bfloat16:
        return bound
    return Bound(bound.absolute, 2 * bound.relative, bound.limit, bound.beyond, bound.crossing)


def fused_multiply_add(self, x, y, z):
    """The product exact, as GPUs have it: float32 numbers have exact products in float64."""
    from triton.runtime.interpreter import TensorHandle

    exact = x.data.astype("float64") * y.data + z.data
    return TensorHandle(exact.astype(x.data.dtype), z.dtype.scalar)


@pytest.fixture
def interpreted(monkeypatch):
    """Let patches take the Triton kernels for CPU tensors, with the multiply-add of a GPU."""
    from triton.runtime.interpreter import InterpreterBuilder

    monkeypatch.setattr(InterpreterBuilder, "create_fma", fused_multiply_add)
    register_kernel(Interpreted())
    yield kernels.get("interpreted")
    kernels.unregister("interpreted")
