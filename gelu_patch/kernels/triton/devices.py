"""Which GPUs the Triton kernels run on, and why not on the others.

Beside a known architecture, a first launch must have come out right: triton also needs a C compiler, a place for what
it compiles and a driver that loads it, and says so only when it launches.
"""

from __future__ import annotations

import importlib.util
from functools import cache

import torch

from gelu_patch.activations.gelu import GELU
from gelu_patch.kernels.base import Rejected

# Compute capabilities for which the programs are compiled and their machine code is looked at (tests/kernels/triton).
ARCHITECTURES = ((7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0))

_ALLOWED = 1e-5  # of the first launch: some float32 roundings of numbers up to 4

_tried: dict[int, Rejected | None] = {}


def why_not(index: int | None = None) -> Rejected | None:
    """Return why the kernels do not run on a CUDA device, by default the current one; None when they do."""
    if importlib.util.find_spec("triton") is None:
        return Rejected("triton is not installed", "pip install triton, in the version that your PyTorch names")
    if torch.version.cuda is None:
        return Rejected("this PyTorch is built without CUDA")
    if not torch.cuda.is_available():
        return Rejected("PyTorch finds no CUDA device, or no driver that it can use")
    return on(torch.cuda.current_device() if index is None else index)


def on(index: int) -> Rejected | None:
    """Return why the kernels do not run on a CUDA device that PyTorch can use; the first time, by a launch."""
    if index in _tried:
        return _tried[index]
    found = architecture(index)
    if found is None and torch.cuda.is_current_stream_capturing():  # nothing may be tried now; another call will
        return Rejected("none was launched before a CUDA graph was captured", "run the model once before the capture")
    _tried[index] = found or launch(torch.device("cuda", index))
    return _tried[index]


def launch(device: torch.device) -> Rejected | None:
    """Launch a kernel and compare it with float64; return what is wrong, or None."""
    x = torch.linspace(-4.0, 4.0, 1000, dtype=torch.float32, device="cpu")
    truth = torch.from_numpy(GELU.formula(x.double().numpy()))
    try:
        from gelu_patch.kernels.triton import launches

        out = x.to(device)
        launches.forward(GELU.name, out, out)
        wrong = float((out.cpu().double() - truth).abs().max())
    except Exception as error:  # of any kind: triton's own, its compiler's, the driver's
        lines = str(error).splitlines() or [type(error).__name__]
        return Rejected(f"triton cannot launch a kernel here: {lines[0]}", "repair triton's installation, or leave it")
    if wrong <= _ALLOWED:
        return None
    return Rejected(f"its first launch was off from {GELU.name} by {wrong:.1e}")


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
