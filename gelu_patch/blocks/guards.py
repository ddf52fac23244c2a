"""Whether a Linear and an activation may be computed as one, asked at every call.

Everything that somebody may have put on them since the patch must go on working as it does on PyTorch's modules: hooks,
adapters, quantisation, parametrizations, sharded or offloaded weights, autocast, tracing. All of it shows in
what is looked at here, and then the modules are called one after the other.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.module import _has_any_global_hook

from gelu_patch.kernels import KernelActivation
from gelu_patch.kernels.autograd import Elementwise, served
from gelu_patch.sites.neighbours import is_plain_linear


def kernel_for(linear: object, activation: object, x: object) -> Elementwise | None:
    """Return the kernel that may overwrite the output of ``linear`` for input ``x`` of shape (..., in features).

    None when the two have to be called one after the other.
    """
    if type(activation) is not KernelActivation or type(x) is not torch.Tensor or not isinstance(linear, nn.Module):
        return None
    kernel = activation.function
    if (
        not isinstance(kernel, Elementwise)
        or not is_plain_linear(linear)
        or _is_watched(linear)
        or _is_watched(activation)
        or _has_any_global_hook()  # type: ignore[no-untyped-call]
        or torch.is_autocast_enabled(x.device.type)
        or torch._C._len_torch_function_stack()
    ):
        return None
    parameters = list(linear.parameters())
    if not served(kernel, x, *parameters) or any(parameter.dtype != x.dtype for parameter in parameters):
        return None
    return kernel


def wants_gradient(linear: nn.Module, x: torch.Tensor) -> bool:
    """Whether autograd will ask for what this call computes."""
    return torch.is_grad_enabled() and (x.requires_grad or any(p.requires_grad for p in linear.parameters()))


def _is_watched(module: nn.Module) -> bool:
    """Whether calling the module runs more than the forward of its class."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or "forward" in vars(module)
    )
