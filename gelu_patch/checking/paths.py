"""What a Linear with its GELU runs on a device, by activation, dtype and mode, and why nothing faster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from gelu_patch.activations.base import activations
from gelu_patch.checking.inputs import DTYPES as CHECKED
from gelu_patch.kernels import Request, Selection, cublaslt, select
from gelu_patch.kernels.autograd import Elementwise

INFERENCE, TRAINING, GATED, COMPILED = "inference", "training", "times another Linear", "torch.compile, inference"
DOWN = "training, and the Linear behind"
_BY_MODULES = "two modules"

_IN_ONE_KERNEL = {
    INFERENCE: (f"{cublaslt.NAME}, one kernel", ""),
    COMPILED: (f"{cublaslt.NAME}, one opaque kernel", ""),
}

# What the doctor tells about: the types that `verify` checks, and the one that compiled kernels leave to PyTorch.
DTYPES = CHECKED | {"float64": torch.float64}


@dataclass(frozen=True)
class Path:
    """One answer: in ``mode``, ``activation`` in ``dtype`` is computed by ``taken``; ``why_not`` something faster."""

    mode: str
    activation: str
    dtype: str
    taken: str
    why_not: str


def paths(device: torch.device) -> Iterator[Path]:
    """Yield the paths of the GELU forms on ``device``."""
    for activation in activations:
        if activation.is_gelu and activation.approximates is None:
            for name, dtype in DTYPES.items():
                selection = select(Request(activation.name, device.type, dtype))
                kernel = selection.kernel.function(activation.name)
                for mode, (taken, why_not) in _answers(selection, kernel, device, dtype).items():
                    yield Path(mode, activation.name, name, taken, why_not)


def _answers(
    selection: Selection, kernel: object, device: torch.device, dtype: torch.dtype
) -> dict[str, tuple[str, str]]:
    """What is taken in each mode, and why nothing faster."""
    activation, name = selection.request.activation, selection.kernel.name
    one_kernel = cublaslt.why_not(activation, device, dtype)
    library = f"cublaslt: {one_kernel}" if device.type == cublaslt.DEVICE else ""
    if not isinstance(kernel, Elementwise):
        by_modules = (_BY_MODULES, f"kernel {name!r} cannot work in place")
        return dict.fromkeys((INFERENCE, TRAINING, DOWN, GATED), by_modules) | {COMPILED: ("PyTorch's operations", "")}
    in_place = (f"the product, then {name} in its memory", library)
    backward = f"{name}, which keeps its input"
    if kernel.slope_with_sums is not None:
        backward += " and gives the bias its gradient"
    return {
        INFERENCE: in_place,
        TRAINING: (f"the product, then {backward}", ""),
        DOWN: (f"{name}, all of it in one launch in backward", "")
        if kernel.slope_again_with_sums is not None
        else ("the Linear by itself", f"kernel {name!r} has no launch for both"),
        GATED: (f"{name}, one pass" if kernel.gated else f"the product, then {name} and the factor in its memory", ""),
        COMPILED: (
            f"{name}, an opaque operator" if kernel.is_operator else "PyTorch's operations, fused by the compiler",
            library,
        ),
    } | (_IN_ONE_KERNEL if not one_kernel and name in cublaslt.REPLACES else {})
