"""The kernel "triton": GELU and gated GELU on NVIDIA GPUs, one pass over memory each way.

What is compiled is not what a compiler would make of the ATen form: the exponential of the erf form is shared by its
two parts (half of the instructions of CUDA's erf, and exact in the left tail), and the tanh form has no tanh.
"""

from __future__ import annotations

from functools import cache, partial

import torch

from gelu_patch.activations.base import activations
from gelu_patch.kernels.autograd import Elementwise, Gated
from gelu_patch.kernels.base import Accepted, Answer, Bound, Function, Kernel, Rejected, Request, register_kernel
from gelu_patch.kernels.eager import EagerKernel
from gelu_patch.kernels.plain import plain_keys
from gelu_patch.kernels.triton import devices

ACTIVATIONS = ("gelu", "gelu_tanh", "gelu_quick")
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
DEVICE = "cuda"

# PyTorch's own kernels split larger tensors; these are served by them.
LARGEST = 2**31

# 1 + 2^z overflows, or its inverse is subnormal and flushed to 0, where |y| is below this; for the derivative, where
# its argument is clamped.
_FLUSHED, _SLOPE_FLUSHED = 2e-37, 4e-35

# Where the derivatives cross 0, they are differences of numbers near 1.
_CROSSING = 1e-6


class TritonKernel(Kernel):
    """Triton programs, compiled when they are first launched, for the architectures that ``devices`` lists."""

    name = "triton"
    version = "1"
    priority = 20
    steps_aside = (
        "torch.compile (which fuses PyTorch's op with its neighbours), export, tracing, vmap, forward-mode and second "
        "derivatives, tensor subclasses, 2^31 elements or more"
    )

    def answer(self, request: Request) -> Answer:
        """Accept its activations on a GPU of a known architecture."""
        if request.device != DEVICE:
            return Rejected(f"it runs on CUDA devices, not on {request.device!r}", elsewhere=True)
        if request.activation not in ACTIVATIONS:
            return Rejected(f"it has no {request.activation!r}; it serves {', '.join(ACTIVATIONS)}")
        if request.dtype not in DTYPES:
            return Rejected(f"it serves float32, bfloat16 and float16, not {request.dtype}")
        return devices.why_not() or Accepted(torch.cuda.get_device_name())

    def function(self, activation: str) -> Function:
        """Return the function with its derivatives; it takes tensors of other devices to their kernels."""
        return elementwise(activations.get(activation).name)

    def saved_tensors(self, activation: str) -> int:
        """Return 1: the input."""
        return 1

    def keeps_input(self, activation: str) -> bool:
        """Return True."""
        return True

    def bound(self, activation: str, dtype: torch.dtype) -> Bound:
        """float32: some ulp on all normal results, most in the far left tail. 16-bit: one rounding and a little.

        With 2 ulp of air for each approximate instruction (their documented error).
        """
        return _bound(dtype, ulp=24.0 if dtype == torch.float32 else 0.6, absolute=_FLUSHED)

    def gradient_bound(self, activation: str, dtype: torch.dtype) -> Bound:
        """As ``bound``; and absolutely where the derivative crosses 0."""
        ulp = 32.0 if dtype == torch.float32 else 0.6
        return _bound(dtype, ulp=ulp, absolute=_SLOPE_FLUSHED, crossing=_CROSSING)


def _bound(dtype: torch.dtype, *, ulp: float, absolute: float, crossing: float = 0.0) -> Bound:
    limits = torch.finfo(dtype)
    step = limits.tiny * limits.eps  # of the subnormal numbers
    return Bound(absolute + 0.6 * step, ulp * limits.eps, min(limits.max, 3e38), crossing=crossing)


@cache
def elementwise(activation: str, device: str = DEVICE) -> Elementwise:
    """Return the launches of ``activation``, with its ATen form; on the "cpu" only for Triton's interpreter."""
    return Elementwise(
        activation,
        EagerKernel().function(activation),
        partial(_value, activation),
        partial(_slope, activation),
        frozenset(DTYPES),
        device,
        plain_keys(device),
        is_operator=False,
        casts=True,
        admits=_admits if device == DEVICE else _is_small,
        slope_with_sums=partial(_slope_with_sums, activation),
        slope_again_with_sums=partial(_slope_again_with_sums, activation),
        gated=Gated(partial(_gated_value, activation), partial(_gated_slopes, activation)),
    )


def _is_small(tensor: torch.Tensor) -> bool:
    return tensor.numel() < LARGEST


def _admits(tensor: torch.Tensor) -> bool:
    return tensor.is_cuda and tensor.numel() < LARGEST and devices.on(tensor.get_device()) is None


# Triton is imported by the first launch, so nobody without a GPU waits for it.


def _value(activation: str, out: torch.Tensor, x: torch.Tensor) -> None:
    from gelu_patch.kernels.triton import launches

    launches.forward(activation, out, x)


def _slope(activation: str, out: torch.Tensor, x: torch.Tensor, grad: torch.Tensor) -> None:
    from gelu_patch.kernels.triton import launches

    launches.backward(activation, out, x, grad)


def _slope_with_sums(activation: str, out: torch.Tensor, x: torch.Tensor, grad: torch.Tensor) -> torch.Tensor:
    from gelu_patch.kernels.triton import launches

    return launches.backward_with_sums(activation, out, x, grad)


def _slope_again_with_sums(
    activation: str, out: torch.Tensor, again: torch.Tensor, x: torch.Tensor, grad: torch.Tensor
) -> torch.Tensor:
    from gelu_patch.kernels.triton import launches

    return launches.backward_with_sums(activation, out, x, grad, again=again)


def _gated_value(activation: str, out: torch.Tensor, gate: torch.Tensor, other: torch.Tensor) -> None:
    from gelu_patch.kernels.triton import launches

    launches.gated_forward(activation, out, gate, other)


def _gated_slopes(activation: str, *tensors: torch.Tensor) -> None:
    from gelu_patch.kernels.triton import launches

    launches.gated_backward(activation, *tensors)


register_kernel(TritonKernel())
