"""A Linear and its activation without gradients: in one kernel where there is one, else the activation in place."""

from __future__ import annotations

import torch

from gelu_patch.blocks import libraries
from gelu_patch.blocks.product import Product
from gelu_patch.kernels import KernelActivation, cublaslt
from gelu_patch.kernels.autograd import Elementwise
from gelu_patch.kernels.plain import plain, plain_keys

_CAST = {torch.float32, *cublaslt.DTYPES}  # what autocast casts


def compute(product: Product, kernel: Elementwise) -> torch.Tensor:
    """Return the activation of the product, in new memory."""
    out = libraries.compute(product)
    kernel.overwrite(out)
    return out


def takes_one_kernel(product: Product, activation: KernelActivation) -> bool:
    """Whether cuBLASLt may compute the product and the activation at once.

    Under autocast the weight must be that of a Conv1D or need no cast: the cast of a transposed weight is not cached.
    """
    x, weight, bias, transposed, _ = product
    if (
        activation.activation != cublaslt.ACTIVATION
        or x.device.type != cublaslt.DEVICE
        or activation.kernel not in cublaslt.REPLACES
    ):
        return False
    if bias is None or bias.dim() != 1 or not bias.is_contiguous() or min(weight.shape) < 2 or not x.numel():
        return False
    dtypes, dtype = {x.dtype, weight.dtype, bias.dtype}, weight.dtype
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
        if not dtypes <= _CAST or (not transposed and weight.dtype != dtype):
            return False
    elif len(dtypes) > 1:
        return False
    if not (x.device == weight.device == bias.device and plain(x, weight, bias, allowed=plain_keys(cublaslt.DEVICE))):
        return False
    return not cublaslt.why_not(activation.activation, x.device, dtype)


def in_one_kernel(product: Product) -> torch.Tensor:
    """Return the activation of the product by cuBLASLt."""
    x, weight, bias, transposed, _ = product
    assert bias is not None
    rows = x.reshape(-1, x.shape[-1])
    out = cublaslt.linear_gelu(bias, rows, weight if transposed else weight.t())
    return out.view(*x.shape[:-1], weight.shape[1] if transposed else weight.shape[0])
