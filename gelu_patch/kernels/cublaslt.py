"""Linear and GELU in one kernel of NVIDIA's cuBLASLt, by ``torch._addmm_activation``: inference, tanh form, 16 bits.

Its GELU is the tanh form on CUDA and the erf form on CPUs (pytorch#104061), and nothing in its signature says so. So it
is used only on CUDA, only on architectures where the fusion is known to pay (slower than two kernels on sm_120:
sglang#34350), and only after one comparison with float64 on that very device has shown which form it is. The GELU is
applied to the float32 sum, before it is rounded: nearer to the truth than two steps, not equal to them.
"""

from __future__ import annotations

from functools import cache

import torch

from gelu_patch.activations.base import activations
from gelu_patch.environment import DISABLE_VARIABLE, is_disabled

NAME = "cublaslt"
ACTIVATION = "gelu_tanh"
DEVICE = "cuda"
DTYPES = (torch.bfloat16, torch.float16)
ARCHITECTURES = ((8, 0), (9, 0), (10, 0))
REPLACES = ("triton", "cpu")  # "cpu": the model was moved after the patch; whoever registers a kernel wants that one

# Of the comparison: an approximate tanh instruction is off by 3e-5 at most; erf and tanh forms differ by 4.7e-4.
_ABSOLUTE, _ROUNDINGS = 5e-5, 1.0
_SIDE, _REACH = 64, 9.0

_checked: dict[tuple[torch.device, torch.dtype], str] = {}


def why_not(activation: str, device: torch.device, dtype: torch.dtype) -> str:
    """Return why Linear and ``activation`` are not computed in one kernel there; empty when they are."""
    return _in_principle(activation, device.type, dtype) or _on(device, dtype)


@cache
def _in_principle(activation: str, device: str, dtype: torch.dtype) -> str:
    if is_disabled(NAME):
        return f"turned off by {DISABLE_VARIABLE}"
    if device != DEVICE:
        return f"it is for CUDA devices, not for {device!r}"
    if activation != ACTIVATION:
        return f"cuBLASLt has {ACTIVATION} only, not {activation}"
    if dtype not in DTYPES:
        return f"it is for bfloat16 and float16, not {dtype}"
    if not hasattr(torch, "_addmm_activation"):
        return "this PyTorch has no _addmm_activation"
    if torch.version.cuda is None:
        return "this PyTorch is built without CUDA"
    if not torch.cuda.is_available():
        return "PyTorch finds no CUDA device, or no driver that it can use"
    return ""


def _on(device: torch.device, dtype: torch.dtype) -> str:
    found = _checked.get((device, dtype))
    if found is None:
        capability = torch.cuda.get_device_capability(device)
        if capability not in ARCHITECTURES:
            found = f"it is not used on sm_{capability[0]}{capability[1]}"
        elif torch.cuda.is_current_stream_capturing():  # nothing may be compared now; another call will
            return "not checked before a CUDA graph was captured"
        else:
            found = self_check(device, dtype)
        _checked[device, dtype] = found
    return found


def self_check(device: torch.device, dtype: torch.dtype) -> str:
    """Compare 4,096 numbers from -9 to 9 with the float64 formula; return what is wrong, or nothing."""
    z = torch.linspace(-_REACH, _REACH, _SIDE * _SIDE, dtype=torch.float64, device="cpu").reshape(_SIDE, _SIDE)
    weight = z.to(dtype)
    bias = torch.linspace(-0.5, 0.5, _SIDE, device="cpu").to(dtype)
    truth = torch.from_numpy(activations.get(ACTIVATION).formula((weight.double() + bias.double()).numpy()))
    try:
        with torch.inference_mode(), torch.autocast(device.type, enabled=False):
            rows = torch.eye(_SIDE, dtype=dtype, device=device)
            found = linear_gelu(bias.to(device), rows, weight.to(device)).cpu().double()
    except RuntimeError as error:
        return f"_addmm_activation failed: {str(error).splitlines()[0]}"
    allowed = _ABSOLUTE + _ROUNDINGS * torch.finfo(dtype).eps * truth.abs()
    wrong = float(((found - truth).abs() - allowed).max())
    return "" if wrong <= 0 else f"its self-check failed: off from {ACTIVATION} by {wrong:.1e} more than a rounding"


def linear_gelu(bias: torch.Tensor, rows: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """Return gelu(rows @ matrix + bias): rows (n, in), matrix (in, out), bias (out). Without gradients."""
    return torch._addmm_activation(bias, rows, matrix, use_gelu=True)
