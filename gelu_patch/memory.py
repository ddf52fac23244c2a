"""The option ``memory``: what a patched model keeps between the forward and the backward pass.

``speed``
    Everything that PyTorch keeps: the input of an activation, and its output where the next operation needs it.
``balanced``
    In training, an output is not kept where the next operation saved it untouched: the backward pass computes it again
    from the input, by the same kernel, so gradients have the same bits.
``max``
    As ``balanced``; and of fused blocks only their input is kept. Without fused blocks it is ``balanced``.
"""

from __future__ import annotations

from typing import Any, Literal, cast, get_args

from gelu_patch.errors import UnknownName

Memory = Literal["speed", "balanced", "max"]

DEFAULT: Memory = "balanced"


def checked(value: Any) -> Memory:
    """Return ``value`` when it is a Memory. Raises UnknownName, suggesting near names."""
    if value not in get_args(Memory):
        raise UnknownName.of("memory mode", str(value), get_args(Memory))
    return cast(Memory, value)
