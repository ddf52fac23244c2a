"""Choosing a kernel, and saying why the others were not chosen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch

from gelu_patch.environment import DISABLE_VARIABLE, is_disabled
from gelu_patch.errors import UsageError
from gelu_patch.kernels.base import Accepted, Answer, Function, Kernel, Rejected, Request, kernels


@dataclass(frozen=True)
class Selection:
    """The kernel taken and the trace: every kernel asked, highest priority first, with its answer."""

    request: Request
    kernel: Kernel
    trace: tuple[tuple[str, Answer], ...]

    def __str__(self) -> str:
        lines = [f"{self.request.activation} on {self.request.device} in {self.request.dtype}: {self.kernel.name}"]
        for name, answer in self.trace:
            why = answer.note or "accepted" if isinstance(answer, Accepted) else f"rejected: {answer.reason}"
            lines.append(f"  {name}: {why}")
        return "\n".join(lines)


def ask(kernel: Kernel, request: Request) -> Answer:
    """Return the kernel's answer, or that somebody turned it off."""
    if is_disabled(kernel.name):
        return Rejected(f"turned off by {DISABLE_VARIABLE}", f"take {kernel.name!r} out of {DISABLE_VARIABLE}")
    return kernel.answer(request)


@cache
def best_function(activation: str, device: str, dtype: torch.dtype) -> Function:
    """Return what computes ``activation`` fastest there. Raises UsageError when nothing does."""
    return select(Request(activation, device, dtype)).kernel.function(activation)


def select(request: Request) -> Selection:
    """Return the kernel of the highest priority that accepts ``request``, with the trace.

    Raises UsageError when no kernel does (an activation registered without a kernel).
    """
    candidates = sorted(kernels, key=lambda kernel: -kernel.priority)
    trace = tuple((kernel.name, ask(kernel, request)) for kernel in candidates)
    for kernel, (_, answer) in zip(candidates, trace, strict=True):
        if isinstance(answer, Accepted):
            return Selection(request, kernel, trace)
    reasons = "; ".join(f"{name}: {answer.reason}" for name, answer in trace if not isinstance(answer, Accepted))
    raise UsageError(
        f"no kernel computes {request.activation!r} on {request.device} in {request.dtype}",
        why=reasons,
        next_step="register one with gelu_patch.register_kernel(...)",
    )
