"""The matrix product before an activation, without a gradient: by whichever library is faster here.

PyTorch multiplies float32 on x86 by MKL and other types by oneDNN, after it has copied the bias into the output. oneDNN
can do all of it in one step, with the weights as they are. Which is faster depends on the processor and the
shape, so each shape is measured when it is met first, for a few milliseconds, and the answer is kept for the process.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cache
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F

VARIABLE = "GELU_PATCH_LINEAR"

_Product = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]

# oneDNN is taken when it needs less than this share of PyTorch's time.
_CLEARLY_FASTER = 0.97
_BUDGET = 0.03  # seconds for the measurement of a shape, as long as each has run twice
_ROUNDS = 7

_choices: dict[tuple[object, ...], _Product] = {}


def apply(linear: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Return what the forward of an ``nn.Linear`` or ``Conv1D`` returns for x of shape (..., in features).

    The result is new memory. Nothing is kept for a backward.
    """
    # Conv1D keeps its weight as (in, out).
    weight, bias = cast(torch.Tensor, linear.weight), cast("torch.Tensor | None", linear.bias)
    weight = weight if type(linear) is nn.Linear else weight.t()
    with torch.no_grad():
        return _choice(x, weight, bias)(x, weight, bias)


def _choice(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> _Product:
    if not _may_choose(x.dtype) or torch.are_deterministic_algorithms_enabled() or not x.numel():
        return _by_torch
    rows = x.numel() // x.shape[-1]
    key = (
        x.dtype,
        tuple(weight.shape),
        weight.is_contiguous(),
        rows.bit_length(),
        torch.get_num_threads(),
        torch.get_float32_matmul_precision(),
    )
    if key not in _choices:
        _choices[key] = _measured(x, weight, bias)
    return _choices[key]


@cache
def _may_choose(dtype: torch.dtype) -> bool:
    if os.environ.get(VARIABLE, "measure") == "torch" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    operators = torch.ops.mkldnn
    return hasattr(operators, "_linear_pointwise") and (
        dtype == torch.float32 or (dtype == torch.bfloat16 and operators._is_mkldnn_bf16_supported())
    )


def _measured(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> _Product:
    arms = (_by_torch, _by_onednn)
    best = [float("inf")] * len(arms)
    begin = time.perf_counter()
    for done in range(_ROUNDS):
        for number, arm in enumerate(arms):
            start = time.perf_counter()
            arm(x, weight, bias)
            best[number] = min(best[number], time.perf_counter() - start)
        if done and time.perf_counter() - begin > _BUDGET:
            break
    return _by_onednn if best[1] < _CLEARLY_FASTER * best[0] else _by_torch


def _by_torch(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    if weight.is_contiguous() or bias is None:
        return F.linear(x, weight, bias)
    # As Conv1D has it; the result is a view of memory that nobody else has.
    return torch.addmm(bias, x.reshape(-1, x.shape[-1]), weight.t()).view(*x.shape[:-1], weight.shape[0])


def _by_onednn(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return product
