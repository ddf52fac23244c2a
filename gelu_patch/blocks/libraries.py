"""Which library multiplies: measured, once for each shape.

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
from typing import get_args

import torch

from gelu_patch.blocks.product import Library, Product

VARIABLE = "GELU_PATCH_LINEAR"

# oneDNN is taken when it needs less than this share of PyTorch's time.
_CLEARLY_FASTER = 0.97
_BUDGET = 0.05  # seconds for the measurement of a shape, as long as each has run _FEWEST times
_FEWEST, _ROUNDS = 4, 60  # small products need many: what disturbs a machine lasts longer than some of them

_choices: dict[tuple[object, ...], Library] = {}
_blocks_by_torch = 0


def compute(product: Product) -> torch.Tensor:
    """Return the product by the faster library, in new memory. To be called without gradients."""
    return product.by(choose(product))


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


def choose(product: Product) -> Library:
    """Return the library that is faster for products of this shape in this process."""
    x, weight, bias, transposed, packed = product
    elsewhere = not x.is_cpu or only_torch(x.dtype)
    if _blocks_by_torch or elsewhere or torch.are_deterministic_algorithms_enabled() or not x.numel():
        return "torch"
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    size = product.rows.bit_length()
    key = (x.dtype, weight.shape, size, bias is None, transposed, packed is None, threads, precision)
    choice = _choices.get(key)
    if choice is None:
        choice = _choices[key] = faster(measure(product))
    return choice


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
        product.by(library)  # what is made once, such as a packed weight, does not count
    begin = time.perf_counter()
    for done in range(1, _ROUNDS + 1):
        for library in best:
            start = time.perf_counter()
            product.by(library)
            best[library] = min(best[library], time.perf_counter() - start)
        if done >= _FEWEST and time.perf_counter() - begin > _BUDGET:
            break
    return best


def faster(seconds: dict[Library, float]) -> Library:
    """Return the library to take."""
    return "onednn" if seconds["onednn"] < _CLEARLY_FASTER * seconds["torch"] else "torch"
