"""A Linear and its activation without gradients: in one kernel where there is one, else the activation in place."""

from __future__ import annotations

import torch

from gelu_patch.blocks import libraries
from gelu_patch.blocks.product import Product
from gelu_patch.kernels import cublaslt
from gelu_patch.kernels.autograd import Elementwise


def compute(product: Product, kernel: Elementwise) -> torch.Tensor:
    """Return the activation of the product, in new memory."""
    if kernel.device == cublaslt.DEVICE and takes_one_kernel(product, kernel.name):
        return in_one_kernel(product)
    out = libraries.compute(product)
    kernel.overwrite(out)
    return out


def takes_one_kernel(product: Product, activation: str) -> bool:
    """Whether cuBLASLt may compute the product and the activation at once.

    Under autocast the weight must be that of a Conv1D or need no cast: the cast of a transposed weight is not cached.
    """
    x, weight, bias, transposed, _ = product
    if bias is None or bias.dim() != 1 or not bias.is_contiguous() or min(weight.shape) < 2 or not x.numel():
        return False
    dtype = weight.dtype
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
        if not transposed and weight.dtype != dtype:
            return False
    return not cublaslt.why_not(activation, x.device, dtype)


def in_one_kernel(product: Product) -> torch.Tensor:
    """Return the activation of the product by cuBLASLt."""
    x, weight, bias, transposed, _ = product
    assert bias is not None
    rows = x.reshape(-1, x.shape[-1])
    out = cublaslt.linear_gelu(bias, rows, weight if transposed else weight.t())
    return out.view(*x.shape[:-1], weight.shape[1] if transposed else weight.shape[0])
