"""WHO computes an activation: the contract of a kernel.

A kernel is asked ``answer(request)`` and says Accepted or Rejected(reason); it never knows about models.
Adding one is one file that ends in ``register_kernel(...)``, imported in ``kernels/__init__.py``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch

from gelu_patch.registry import Registry

Function = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Request:
    """What is needed: an activation (registered name), on a device type such as "cpu", in a dtype."""

    activation: str
    device: str
    dtype: torch.dtype


@dataclass(frozen=True)
class Accepted:
    """The kernel can serve the request."""

    note: str = ""


@dataclass(frozen=True)
class Rejected:
    """The kernel cannot, and why; ``next_step`` is what to type when that can be changed.

    ``elsewhere``: it is made for another type of device, which is no news to anybody.
    """

    reason: str
    next_step: str = ""
    elsewhere: bool = False


Answer = Accepted | Rejected


@dataclass(frozen=True)
class Bound:
    """A declared accuracy: ``|y - truth| <= absolute + relative * |truth|`` for every ``|x| <= limit``.

    The truth is the activation's float64 formula (for ``Kernel.gradient_bound`` its derivative) at the same
    x. ``beyond``: an infinite x gives the formula's limit, and NaN gives NaN. ``crossing`` is allowed in addition
    where the derivative passes through 0 (``checking.regions.CROSSING``), as a difference of numbers near 1.
    The declaration is the test: ``gelu_patch.checking`` tries every 16-bit input and all float32 regions.
    """

    absolute: float
    relative: float
    limit: float
    beyond: bool = True
    crossing: float = 0.0


class Kernel(ABC):
    """One implementation of one or several activations.

    ``priority`` orders kernels that accept the same request: the highest is taken.
    ``saved_tensors`` is how many distinct tensors the function keeps for backward (its input counted once).
    ``steps_aside`` says when its function runs PyTorch's own op instead; empty: never.
    """

    name: str
    version: str
    priority: int
    steps_aside: str = ""

    @abstractmethod
    def answer(self, request: Request) -> Answer:
        """Say whether this kernel serves ``request``."""

    @abstractmethod
    def function(self, activation: str) -> Function:
        """Return the function for ``activation``: any shape and floating dtype in, the same out."""

    @abstractmethod
    def saved_tensors(self, activation: str) -> int:
        """Return how many distinct tensors the function keeps for backward."""

    def keeps_input(self, activation: str) -> bool:
        """Return whether the input itself is one of them: then computing the output again costs no memory."""
        return False

    @abstractmethod
    def bound(self, activation: str, dtype: torch.dtype) -> Bound:
        """Return the declared accuracy of the values."""

    @abstractmethod
    def gradient_bound(self, activation: str, dtype: torch.dtype) -> Bound:
        """Return the declared accuracy of the derivative."""


kernels: Registry[Kernel] = Registry("kernel")


def register_kernel(kernel: Kernel) -> Kernel:
    """Make ``kernel`` a candidate for every patch. Raises UsageError when its name is taken."""
    return kernels.register(kernel)
