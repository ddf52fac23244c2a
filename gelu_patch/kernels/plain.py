"""Which tensors a compiled kernel may take as raw memory: plain ones of its device, while nobody looks on."""

from __future__ import annotations

from functools import cache

import torch
from torch.autograd import forward_ad

PLAIN_TYPES = (torch.Tensor, torch.nn.Parameter)


@cache
def plain_keys(device: str) -> frozenset[int]:
    """Return the dispatch keys of plain tensors of ``device``, with and without autograd.

    Any other key stands for what raw memory does not show: another device, sparsity, quantisation, nesting, a pending
    sign, a batch dimension of vmap in its old and new form, a Python dispatcher.
    """
    names = torch._C.DispatchKey.__members__
    inference = torch._C.DispatchKeySet(names[device.upper()]).add(names[f"Autocast{device.upper()}"])
    autograd = inference.add(names["ADInplaceOrView"]).add(names[f"Autograd{device.upper()}"])
    return frozenset((inference.raw_repr(), autograd.raw_repr()))


CPU_KEYS = plain_keys("cpu")


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # torch's
def is_transformed() -> bool:
    """Whether a transform of torch.func or forward-mode differentiation is at work; a compiler asks when it traces."""
    return torch._C._functorch.peek_interpreter_stack() is not None or forward_ad._current_level >= 0


def is_observed() -> bool:
    """Whether somebody listens to, transforms or records operators."""
    return bool(torch._C._len_torch_dispatch_stack() or torch._C._get_tracing_state() is not None or is_transformed())


def plain(*tensors: torch.Tensor, allowed: frozenset[int] = CPU_KEYS) -> bool:
    """Whether these have ``allowed`` keys, those of ordinary tensors of a device, and nobody listens to, transforms or
    records operators.
    """
    if is_observed():
        return False
    keys = torch._C._dispatch_keys
    for tensor in tensors:  # noqa: SIM110  # a generator would take as long as all of the questions
        if type(tensor) not in PLAIN_TYPES or keys(tensor).raw_repr() not in allowed:
            return False
    return True
