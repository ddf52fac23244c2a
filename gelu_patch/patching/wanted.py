"""What a model that is being built shall get where it looks up a GELU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# The name of the activation, or None for the stock one. Every thread has its own wish.
wanted: ContextVar[str | None] = ContextVar("gelu_patch_act2fn", default=None)


@contextmanager
def look_ups_give(target: str | None) -> Iterator[None]:
    """Set the wish inside the block."""
    token = wanted.set(target)
    try:
        yield
    finally:
        wanted.reset(token)
