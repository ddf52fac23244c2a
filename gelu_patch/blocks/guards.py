"""Whether a Linear and an activation may be computed as one, asked at every call.

Everything that somebody may have put on them since the patch must go on working as it does on PyTorch's modules: hooks,
adapters, quantisation, parametrizations, sharded or offloaded weights, autocast, tracing. All of it shows in
what is looked at here, and then the modules are called one after the other.
"""

from __future__ import annotations

from typing import TypeGuard

import torch
from torch import nn
from torch.nn.modules.module import _has_any_global_hook
from torch.overrides import _get_current_function_mode_stack
from torch.utils._device import DeviceContext

from gelu_patch.blocks.product import Product, product_of
from gelu_patch.kernels import KernelActivation, recompute
from gelu_patch.kernels.autograd import Elementwise, served
from gelu_patch.sites.neighbours import is_plain_linear


def are_plain(linear: nn.Module, activation: object, x: object) -> TypeGuard[KernelActivation]:
    """Whether calling the two modules on ``x`` runs nothing but the product and an activation of this package."""
    return (
        type(activation) is KernelActivation
        and type(x) is torch.Tensor
        and is_plain_linear(linear)
        and not _is_watched(linear)
        and not _is_watched(activation)
        and not _has_any_global_hook()  # type: ignore[no-untyped-call]  # torch's
        and not (torch._C._len_torch_function_stack() and _is_intercepted())
    )


def may_take_down(down: object, kernel: Elementwise, activation: KernelActivation, x: torch.Tensor) -> bool:
    """Whether the Linear behind the activation may be computed in one function with it, for an input x of the block.

    Only in a forward whose activations are computed again in backward: where somebody else decides what is kept, such
    as gradient checkpointing, which counts it, all is kept as PyTorch's modules keep it. And only when the weight wants
    a gradient: otherwise nothing needs the activation again.
    """
    if (
        kernel.slope_again_with_sums is None
        or activation.memory == "speed"
        or not isinstance(down, nn.Module)
        or not is_plain_linear(down)
        or _is_watched(down)
        or not recompute.is_recording()
        or x.dim() < 2
        or not x.numel()
    ):
        return False
    _, weight, bias, *_ = product_of(down, x)
    tensors = (x, weight) if bias is None else (x, weight, bias)
    if not weight.requires_grad or not served(kernel, *tensors):
        return False
    return torch.is_autocast_enabled(kernel.device) or all(tensor.dtype == x.dtype for tensor in tensors)


def kernel_for(activation: KernelActivation, product: Product) -> Elementwise | None:
    """Return the kernel that may overwrite the product, or None."""
    kernel, (x, weight, bias, *_) = activation.function, product
    if not isinstance(kernel, Elementwise):
        return None
    tensors = (x, weight) if bias is None else (x, weight, bias)
    if not served(kernel, *tensors):
        elsewhere = kernel.on(x)
        if not isinstance(elsewhere, Elementwise) or not served(elsewhere, *tensors):
            return None
        kernel = elsewhere
    if torch.is_autocast_enabled(kernel.device):
        # On a GPU, autocast gives the product its dtype, whatever these are; on a CPU, both are called as modules.
        return kernel if kernel.casts and torch.get_autocast_dtype(kernel.device) in kernel.dtypes else None
    return kernel if weight.dtype == x.dtype and (bias is None or bias.dtype == x.dtype) else None


def wants_gradient(product: Product) -> bool:
    """Whether autograd will ask for what this call computes."""
    x, weight, bias, *_ = product
    return torch.is_grad_enabled() and (
        x.requires_grad or weight.requires_grad or (bias is not None and bias.requires_grad)
    )


def _is_intercepted() -> bool:
    """Whether a mode sees each call of PyTorch; that of a default device only tells factories where to make tensors."""
    modes = _get_current_function_mode_stack()  # type: ignore[no-untyped-call]  # torch's
    return any(type(mode) is not DeviceContext for mode in modes)


def _is_watched(module: nn.Module) -> bool:
    """Whether calling the module runs more than the forward of its class."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or "forward" in vars(module)
    )
