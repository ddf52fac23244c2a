"""Which numbers a kernel is tried on: all of a 16-bit type; of float32 a stratified subset, or all 2^32.

Inputs come in chunks. In each, the finite numbers ascend, so that a region of x is a slice and costs no mask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from gelu_patch.activations.base import Array
from gelu_patch.errors import UnknownName

DTYPES: dict[str, torch.dtype] = {str(dtype)[6:]: dtype for dtype in (torch.float32, torch.bfloat16, torch.float16)}

PATTERNS = 2**32  # of float32
CHUNK = 2**17  # numbers: the float64 arrays over them stay in the processor's cache
STRIDE = 2053  # prime, so that the low bits of the patterns vary; 4,086 patterns in each binade
GRID = np.arange(-(2**17), 2**17 + 1) / 2**13  # [-16, 16], where float32's patterns are sparse


@dataclass(frozen=True)
class Inputs:
    """A set of inputs: ``name`` says which, ``total`` how many, ``chunks()`` yields them anew."""

    name: str
    total: int
    chunks: Callable[[], Iterator[torch.Tensor]]


def dtype_of(name: str) -> torch.dtype:
    """Return the dtype with this name. Raises UnknownName with near names."""
    if name not in DTYPES:
        raise UnknownName.of("dtype", name, DTYPES)
    return DTYPES[name]


def inputs_for(dtype: torch.dtype, borders: tuple[float, ...] = (), *, long: bool = False) -> Inputs:
    """Return all inputs of a 16-bit type, a stratified subset of the others, or with ``long`` all of float32.

    The subset has every ``STRIDE``-th bit pattern of all exponents and both signs (NaNs too), a grid, ``borders``
    with their neighbours, and the special values.
    """
    if dtype in (torch.bfloat16, torch.float16):
        return _at_once(f"all {2**16:,}", all_halves(dtype))
    if dtype == torch.float32 and long:
        return Inputs(f"all {PATTERNS:,}", PATTERNS, every_float32)
    return _at_once("stratified", stratified(borders).to(dtype))


def _at_once(name: str, x: torch.Tensor) -> Inputs:
    return Inputs(name, x.numel(), lambda: iter(torch.split(x, CHUNK)))


def all_halves(dtype: torch.dtype) -> torch.Tensor:
    """Return all 65,536 numbers of a 16-bit type in ascending order, the NaNs last."""
    x = torch.arange(-(2**15), 2**15, dtype=torch.int32, device="cpu").to(torch.int16).view(dtype)
    return x[x.double().argsort(stable=True)]


def specials(dtype: torch.dtype) -> dict[str, float]:
    """Return the named values at which formulas break: zeros, infinities, NaN, subnormal and extreme numbers."""
    limits = torch.finfo(dtype)
    step = limits.tiny * limits.eps
    positive = {
        "0": 0.0,
        "smallest subnormal": step,
        "largest subnormal": limits.tiny - step,
        "smallest normal": limits.tiny,
        "largest": limits.max,
        "inf": float("inf"),
    }
    return {"NaN": float("nan")} | {
        f"{sign}{name}": float(f"{sign}1") * x for name, x in positive.items() for sign in "+-"
    }


def stratified(borders: tuple[float, ...] = ()) -> torch.Tensor:
    """Return about 2.4 million float32 numbers in ascending order, the NaNs last; see ``inputs_for``."""
    patterns = np.arange(0, PATTERNS, STRIDE, dtype=np.uint32).view(np.float32)
    near = [_neighbours(np.float32(border)) for border in borders]
    named = np.array(list(specials(torch.float32).values()), dtype=np.float32)
    return torch.from_numpy(np.sort(np.concatenate([patterns, GRID.astype(np.float32), named, *near])))


def _neighbours(border: np.float32) -> Array:
    """The number and the next four on each side."""
    up, down = [border], [border]
    for _ in range(4):
        up.append(np.nextafter(up[-1], np.float32(np.inf)))
        down.append(np.nextafter(down[-1], np.float32(-np.inf)))
    return np.array(up + down[1:], dtype=np.float32)


def every_float32() -> Iterator[torch.Tensor]:
    """Yield all 2^32 float32 numbers, those of positive sign first."""
    return (_patterns_from(start) for start in range(0, PATTERNS, CHUNK))


def _patterns_from(start: int) -> torch.Tensor:
    x = (np.arange(CHUNK, dtype=np.uint32) + np.uint32(start)).view(np.float32)
    # The larger the pattern, the larger the size: negative ones descend.
    return torch.from_numpy(x if start < PATTERNS // 2 else np.ascontiguousarray(x[::-1]))
