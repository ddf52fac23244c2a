"""The matrix product before an activation, without a gradient: by whichever library is faster here.

PyTorch multiplies float32 on x86 by MKL and other types by oneDNN, after it has copied the bias into the output. oneDNN
can do all of it in one step, with the weights as they are. Which is faster depends on the processor and the
shape, so each shape is measured when it is met first, for a few milliseconds, and the answer is kept for the process.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Literal, NamedTuple, cast, get_args

import torch
from torch import nn
from torch.nn import functional as F

from gelu_patch.blocks.packed import PackedWeight

VARIABLE = "GELU_PATCH_LINEAR"

Library = Literal["torch", "onednn"]

# oneDNN is taken when it needs less than this share of PyTorch's time.
_CLEARLY_FASTER = 0.97
_BUDGET = 0.05  # seconds for the measurement of a shape, as long as each has run _FEWEST times
_FEWEST, _ROUNDS = 4, 15

_choices: dict[tuple[object, ...], Library] = {}
_blocks_by_torch = 0


class Product(NamedTuple):
    """``x @ weight.T + bias``: x of shape (..., in features), weight seen as (out features, in features)."""

    x: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor | None
    transposed: bool  # Conv1D keeps its weight as (in, out)
    packed: PackedWeight | None

    @property
    def rows(self) -> int:
        """How many rows x has as a matrix."""
        return self.x.numel() // self.x.shape[-1]

    def run(self, library: Library) -> torch.Tensor:
        """Return the product, in new memory."""
        return self._by_onednn() if library == "onednn" else self._by_torch()

    def _by_torch(self) -> torch.Tensor:
        if not self.transposed:
            return F.linear(self.x, self.weight, self.bias)
        # As Conv1D has it; the result is a view of memory that nobody else has.
        assert self.bias is not None
        flat = torch.addmm(self.bias, self.x.reshape(-1, self.x.shape[-1]), self.weight)
        return flat.view(*self.x.shape[:-1], self.weight.shape[1])

    def _by_onednn(self) -> torch.Tensor:
        weight = self.packed.of(self.weight, self.transposed, self.rows) if self.packed is not None else None
        if weight is None:
            weight = self.weight.t() if self.transposed else self.weight
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(self.x, weight, self.bias, "none", [], "")
        return product


def apply(linear: nn.Module, x: torch.Tensor, packed: PackedWeight | None = None) -> torch.Tensor:
    """Return what the forward of an ``nn.Linear`` or ``Conv1D`` returns for x of shape (..., in features).

    The result is new memory. Nothing is kept for a backward. ``packed`` is where a packed weight may be kept.
    """
    weight, bias = cast(torch.Tensor, linear.weight), cast("torch.Tensor | None", linear.bias)
    product = Product(x, weight, bias, type(linear) is not nn.Linear, packed)
    if not torch.is_grad_enabled():
        return product.run(_choice(product))
    with torch.no_grad():
        return product.run(_choice(product))


@contextmanager
def products_by_torch() -> Iterator[None]:
    """Take no other library than PyTorch for the length of the block, in all threads.

    Which library is faster is measured, so two processes may choose differently, and then differ in the last bits.
    """
    global _blocks_by_torch
    _blocks_by_torch += 1
    try:
        yield
    finally:
        _blocks_by_torch -= 1


def _choice(product: Product) -> Library:
    x = product.x
    if _blocks_by_torch or only_torch(x.dtype) or torch.are_deterministic_algorithms_enabled() or not x.numel():
        return "torch"
    key = (
        x.dtype,
        tuple(product.weight.shape),
        product.transposed,
        product.packed is not None,
        product.rows.bit_length(),
        torch.get_num_threads(),
        torch.get_float32_matmul_precision(),
    )
    if key not in _choices:
        _choices[key] = faster(measure(product))
    return _choices[key]


@cache
def only_torch(dtype: torch.dtype) -> str | None:
    """Return why products of ``dtype`` are always PyTorch's, or None when there is a choice."""
    if os.environ.get(VARIABLE) == "torch":
        return f"{VARIABLE}=torch"
    operators = torch.ops.mkldnn
    if not torch.backends.mkldnn.is_available() or not hasattr(operators, "_linear_pointwise"):  # type: ignore[no-untyped-call]
        return "this PyTorch has no oneDNN"
    if dtype == torch.float32 or (dtype == torch.bfloat16 and operators._is_mkldnn_bf16_supported()):
        return None
    return f"oneDNN has no fast {str(dtype).removeprefix('torch.')} here"


def measure(product: Product) -> dict[Library, float]:
    """Return the seconds that each library needs for ``product``: the least of a few interleaved runs."""
    best: dict[Library, float] = dict.fromkeys(get_args(Library), float("inf"))
    for library in best:
        product.run(library)  # what is made once, such as a packed weight, does not count
    begin = time.perf_counter()
    for done in range(1, _ROUNDS + 1):
        for library in best:
            start = time.perf_counter()
            product.run(library)
            best[library] = min(best[library], time.perf_counter() - start)
        if done >= _FEWEST and time.perf_counter() - begin > _BUDGET:
            break
    return best


def faster(seconds: dict[Library, float]) -> Library:
    """Return the library to take."""
    return "onednn" if seconds["onednn"] < _CLEARLY_FASTER * seconds["torch"] else "torch"
