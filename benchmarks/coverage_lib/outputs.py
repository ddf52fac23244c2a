"""Outputs of a model as a flat list of tensors, and how two of them compare."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

# Masks are filled with the lowest number of a dtype; that is no result.
_MASKED = 1e30


def float_tensors(output: Any) -> list[torch.Tensor]:
    """Return copies of all floating tensors in an output, in order; caches are state and left out."""
    return [tensor.detach().clone() for tensor in _tensors(output, 0) if tensor.is_floating_point()]


def _tensors(output: Any, depth: int) -> Iterator[torch.Tensor]:
    if isinstance(output, torch.Tensor):
        yield output
    elif depth < 8 and isinstance(output, Mapping):
        for value in output.values():
            yield from _tensors(value, depth + 1)
    elif depth < 8 and isinstance(output, Sequence) and not isinstance(output, str):
        for value in output:
            yield from _tensors(value, depth + 1)


def bit_equal(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    """Tell whether all tensors agree in every bit; NaN agrees with NaN."""
    return len(one) == len(other) and all(
        a.shape == b.shape and a.dtype == b.dtype and torch.equal(_bits(a), _bits(b))
        for a, b in zip(one, other, strict=True)
    )


_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().view(_INTEGERS[tensor.element_size()])


def difference(stock: list[torch.Tensor], other: list[torch.Tensor]) -> float:
    """Return the largest difference in units of max(1, root mean square of the stock tensor).

    Only where stock is finite; infinite when the shapes or the places of non-finite values differ.
    """
    if [tensor.shape for tensor in stock] != [tensor.shape for tensor in other]:
        return math.inf
    return max((_difference(a, b) for a, b in zip(stock, other, strict=True)), default=0.0)


def _difference(stock: torch.Tensor, other: torch.Tensor) -> float:
    usable = torch.isfinite(stock) & (stock.abs() < _MASKED)
    if not torch.equal(usable, torch.isfinite(other) & (other.abs() < _MASKED)):
        return math.inf
    a, b = stock[usable].double(), other[usable].double()
    if a.numel() == 0:
        return 0.0
    return float((a - b).abs().max() / max(1.0, scale([stock])))


def scale(tensors: list[torch.Tensor]) -> float:
    """Return the root mean square of everything finite; 0 when there is nothing."""
    parts = [t[torch.isfinite(t) & (t.abs() < _MASKED)].double().flatten() for t in tensors]
    whole = torch.cat(parts) if parts else torch.zeros(0)
    return float(whole.square().mean().sqrt()) if whole.numel() else 0.0


def finite_share(tensors: list[torch.Tensor]) -> float:
    """Return which part of all numbers is finite."""
    total = sum(tensor.numel() for tensor in tensors)
    return sum(int(torch.isfinite(tensor).sum()) for tensor in tensors) / total if total else 1.0
