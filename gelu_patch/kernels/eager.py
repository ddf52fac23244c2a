"""The kernel that is always there: PyTorch's own ops, arranged to keep one tensor for backward.

This alone turns GPT-2's Python formula (8 passes over memory, 4 saved tensors) into one op with one.
It inherits PyTorch's defects, which its bounds declare: values left of about -5 that are exactly 0, NaN at
+inf on the oneDNN path, NaN gradients far outside of the limits below.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from gelu_patch.activations.base import activations
from gelu_patch.activations.gelu import CLIP, QUICK_SCALE
from gelu_patch.kernels.base import (
    Accepted,
    Answer,
    Bound,
    Function,
    Kernel,
    Rejected,
    Request,
    register_kernel,
)


def gelu(x: torch.Tensor) -> torch.Tensor:
    """Exact GELU."""
    return F.gelu(x)


def gelu_tanh(x: torch.Tensor) -> torch.Tensor:
    """GELU, tanh form."""
    return F.gelu(x, approximate="tanh")


def gelu_quick(x: torch.Tensor) -> torch.Tensor:
    """x * sigmoid(1.702 x), with one tensor kept: silu keeps its input, the scalings nothing."""
    return F.silu(QUICK_SCALE * x) / QUICK_SCALE


def gelu_10(x: torch.Tensor) -> torch.Tensor:
    """Exact GELU clipped to [-10, 10]; the clipping keeps a second tensor."""
    return torch.clamp(F.gelu(x), -CLIP, CLIP)


def relu2(x: torch.Tensor) -> torch.Tensor:
    """max(x, 0)^2; both ops keep the same tensor, the output of relu."""
    return torch.square(F.relu(x))


@dataclass(frozen=True)
class _Op:
    """A function and what its bound is made of.

    ``keeps_input``: one of the saved tensors is the input itself. ``roundings`` is how often a 16-bit result is rounded
    on the way, ``tail`` the absolute error that ATen's float32 GELU has left of -5, ``limit`` where values or gradients
    stop being finite.
    """

    function: Function
    saved_tensors: int = 1
    keeps_input: bool = True
    roundings: int = 1
    tail: float = 2e-6
    limit: float = 1e18


_OPS: dict[str, _Op] = {
    "gelu": _Op(gelu),
    "gelu_tanh": _Op(gelu_tanh),
    "gelu_quick": _Op(gelu_quick, keeps_input=False, roundings=3),
    "gelu_10": _Op(gelu_10, saved_tensors=2),
    "relu": _Op(F.relu, keeps_input=False, roundings=0, tail=0.0),
    "relu2": _Op(relu2, keeps_input=False, tail=0.0, limit=1e9),
    "silu": _Op(F.silu),
}

# float16 ends at 65504, and 1.702 x must stay below it.
_LIMIT_FLOAT16 = 1e4


class EagerKernel(Kernel):
    """PyTorch's ATen ops, on every device and in every floating dtype."""

    name = "eager"
    version = torch.__version__
    priority = 0

    def answer(self, request: Request) -> Answer:
        """Accept every activation that has an op."""
        if request.activation not in _OPS:
            return Rejected(f"there is no ATen form of {request.activation!r}; it serves {', '.join(_OPS)}")
        if not request.dtype.is_floating_point:
            return Rejected(f"{request.dtype} is no floating dtype")
        return Accepted()

    def function(self, activation: str) -> Function:
        """Return the composition of ATen ops."""
        return _OPS[activations.get(activation).name].function

    @staticmethod
    def functions() -> dict[str, Function]:
        """Return all of its functions."""
        return {name: op.function for name, op in _OPS.items()}

    def saved_tensors(self, activation: str) -> int:
        """Return 1, but for the clipped form 2."""
        return _OPS[activations.get(activation).name].saved_tensors

    def keeps_input(self, activation: str) -> bool:
        """Return whether the first op keeps the input as it is."""
        return _OPS[activations.get(activation).name].keeps_input

    def bound(self, activation: str, dtype: torch.dtype) -> Bound:
        """Rounding of the result, and of each op that a 16-bit result passes through; and ATen's left tail."""
        return self._bound(activation, dtype, relative=3.0, absolute=1.0)

    def gradient_bound(self, activation: str, dtype: torch.dtype) -> Bound:
        """As ``bound``; the derivative crosses 0, where a rounding on the way is an absolute error."""
        return self._bound(activation, dtype, relative=4.0, absolute=2.0, crossing=0.25)

    def _bound(
        self, activation: str, dtype: torch.dtype, *, relative: float, absolute: float, crossing: float = 0.0
    ) -> Bound:
        op = _OPS[activations.get(activation).name]
        epsilon = torch.finfo(dtype).eps
        tiny = torch.finfo(dtype).tiny * epsilon if op.roundings else 0.0  # half a subnormal step and more
        if dtype == torch.float64:
            return Bound(1e-14 if op.tail else tiny, 16 * epsilon, op.limit, beyond=False)
        if dtype == torch.float32:
            return Bound(absolute * op.tail + tiny, relative * epsilon * min(op.roundings, 1), op.limit, beyond=False)
        # 16-bit: ATen computes each op in float32 and rounds once an op. A rounded argument of the exponential
        # costs relative accuracy in the tail (eps^2 is that, absolute); a lone op has no rounded argument.
        passing = epsilon**2 if op.roundings > 1 else 0.0
        limit = min(op.limit, _LIMIT_FLOAT16) if dtype == torch.float16 else op.limit
        allowed = crossing * epsilon if op.roundings > 1 else 0.0
        return Bound(absolute * op.tail + passing + tiny, op.roundings * epsilon, limit, beyond=False, crossing=allowed)


register_kernel(EagerKernel())
