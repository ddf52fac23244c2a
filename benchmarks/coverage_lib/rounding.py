"""How far rounding alone moves the outputs of a model: the same GELUs, computed in float64 and rounded once.

Some models amplify the last bits of an activation (routers, top-k of scores, random weights without a norm). There, two
right implementations differ by more than any fixed tolerance; this is the control that tells it from a fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gelu_patch.kernels import kernels, register_kernel
from gelu_patch.kernels.base import Function
from gelu_patch.kernels.eager import EagerKernel

# An exact swap may differ from stock by so many times what this control does: one draw of an amplified error, not a
# bound, and it has at most half a unit in the last place where a kernel may have two.
FACTOR = 4.0


class RoundedOnce(EagerKernel):
    """ATen's forms in float64; the result is rounded to the dtype of the input."""

    name = "rounded_once"
    priority = 10_000

    def function(self, activation: str) -> Function:
        """Return the composition of ATen ops, on a float64 copy of its input."""
        compute = super().function(activation)
        return lambda x: compute(x.double()).to(x.dtype)


@contextmanager
def rounded_once() -> Iterator[None]:
    """Let patches take this kernel for the length of the block."""
    register_kernel(RoundedOnce())
    try:
        yield
    finally:
        kernels.unregister(RoundedOnce.name)
