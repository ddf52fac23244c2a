"""A Linear and its activation in code that is being compiled: one opaque kernel where there is one, else two modules.

A compiler takes the bias out of the product and makes it a pass over memory with the activation. cuBLASLt's one kernel
saves that pass; everything else the compiler fuses best from PyTorch's own operations.
"""

from __future__ import annotations

import torch
from torch import nn

from gelu_patch.blocks.inference import in_one_kernel
from gelu_patch.blocks.product import product_of
from gelu_patch.kernels import KernelActivation, cublaslt
from gelu_patch.sites.neighbours import is_plain_linear


def compute(before: nn.Module, after: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Return ``after(before(x))``; what is asked here, a compiler can look into."""
    if (
        x.device.type == cublaslt.DEVICE
        and isinstance(after, KernelActivation)
        and after.kernel in cublaslt.REPLACES
        and not torch.is_grad_enabled()
        and not torch.compiler.is_exporting()
        and not torch.is_autocast_enabled(cublaslt.DEVICE)
        and is_plain_linear(before)
        and not (before._forward_hooks or before._forward_pre_hooks or after._forward_hooks)
    ):
        product = product_of(before, x)
        if product.bias is not None and product.weight.dtype == x.dtype and _fuses(after.activation, x.device, x.dtype):
            return in_one_kernel(product)
    out: torch.Tensor = after(before(x))
    return out


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # torch's
def _fuses(activation: str, device: torch.device, dtype: torch.dtype) -> bool:
    return not cublaslt.why_not(activation, device, dtype)
