"""Which GPUs the Triton kernels run on, and why not on the others."""

from __future__ import annotations

import importlib.util
from functools import cache

import torch

from gelu_patch.kernels.base import Rejected

# Compute capabilities for which the programs are compiled and their machine code is looked at (tests/kernels/triton).
ARCHITECTURES = ((7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0))


def why_not(index: int | None = None) -> Rejected | None:
    """Return why the kernels do not run on a CUDA device, by default the current one; None when they do."""
    if importlib.util.find_spec("triton") is None:
        return Rejected("triton is not installed", "pip install triton, in the version that your PyTorch names")
    if torch.version.cuda is None:
        return Rejected("this PyTorch is built without CUDA")
    if not torch.cuda.is_available():
        return Rejected("PyTorch finds no CUDA device, or no driver that it can use")
    return architecture(torch.cuda.current_device() if index is None else index)


@cache
def architecture(index: int) -> Rejected | None:
    """Return why the architecture of a CUDA device is not served, or None."""
    capability = torch.cuda.get_device_capability(index)
    if capability in ARCHITECTURES:
        return None
    return Rejected(
        f"{torch.cuda.get_device_name(index)} is {_name(capability)}; it is made and checked for "
        + ", ".join(map(_name, ARCHITECTURES))
    )


def _name(capability: tuple[int, int]) -> str:
    return f"sm_{capability[0]}{capability[1]}"
