"""How far rounding alone moves the outputs of a model: the same GELUs with other last bits, drawn at random.

Some models amplify the last bits of an activation (routers, top-k of scores, random weights without a norm). There, two
right implementations differ by more than any fixed tolerance; this is the control that tells it from a fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from gelu_patch.kernels import kernels, register_kernel
from gelu_patch.kernels.base import Function
from gelu_patch.kernels.eager import EagerKernel

DRAWS = 8
# The error of a drawn GELU is uniform within it: about the largest that is measured of the compiled kernels in float32
# (docs/accuracy.md), and less than they declare, so the control is not the looser one.
ULPS = 2.0
# An exact swap may differ from stock by so many times the largest of the draws, because eight draws of an amplified
# error do not show its largest: single draws of one model lie far apart.
FACTOR = 2.0


class OtherLastBits(EagerKernel):
    """ATen's forms in float64, off by at most ``ULPS`` units in the last place of the dtype of the input."""

    name = "other_last_bits"
    priority = 10_000

    def __init__(self, seed: int) -> None:
        self._chance = torch.Generator().manual_seed(seed)

    def function(self, activation: str) -> Function:
        """Return the composition of ATen ops, computed in float64, off by a little."""
        compute = super().function(activation)

        def off_by_a_little(x: torch.Tensor) -> torch.Tensor:
            exact = compute(x.double())
            error = torch.rand(exact.shape, generator=self._chance, dtype=torch.float64) * 2 - 1
            return (exact * (1 + error * ULPS * torch.finfo(x.dtype).eps)).to(x.dtype)

        return off_by_a_little


@contextmanager
def other_last_bits(seed: int) -> Iterator[None]:
    """Let patches take this kernel for the length of the block."""
    register_kernel(OtherLastBits(seed))
    try:
        yield
    finally:
        kernels.unregister(OtherLastBits.name)
