"""Models that are built inside a ``with`` block get their activations patched as they are built."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch

from gelu_patch.activations.base import activations
from gelu_patch.kernels import KernelActivation, Request, select
from gelu_patch.patching.selectors import SAME_MATHEMATICS, target_name

# The table is global to the process; this variable is not, so that threads outside of the block which build a
# model meanwhile get the stock activation.
_inside: ContextVar[bool] = ContextVar("gelu_patch_act2fn", default=False)


@contextmanager
def patch_act2fn(target: str) -> Iterator[None]:
    """Make every GELU look-up in ``transformers.activations.ACT2FN`` give ``target``, inside the block.

    For models built inside (``from_pretrained``, ``from_config``); models built before are not touched, and
    models built inside stay patched after it (``unpatch_model`` undoes that too). Only what a model takes from
    ACT2FN while it is built is reached: see what is left with ``inspect_model(model, example_inputs)``, or use
    ``patch_model`` on the finished model. Raises UnknownName for an unknown target.
    """
    from transformers.activations import ACT2FN

    wanted = target_name(target)
    stock = {key: dict.__getitem__(ACT2FN, key) for key in ACT2FN if _is_gelu(key)}
    token = _inside.set(True)
    try:
        for key, content in stock.items():
            ACT2FN[key] = (_Entry(key, content, wanted), {})
        yield
    finally:
        _inside.reset(token)
        for key, content in stock.items():
            ACT2FN[key] = content


def _is_gelu(key: str) -> bool:
    return key in activations and activations.get(key).is_gelu


class _Entry:
    """What stands in the table during the block: called like the class that it stands for."""

    def __init__(self, key: str, content: Any, wanted: str) -> None:
        self.before = activations.get(key).name
        self.after = self.before if wanted == SAME_MATHEMATICS else wanted
        self.content = content

    def __call__(self) -> torch.nn.Module:
        kind, arguments = self.content if isinstance(self.content, tuple) else (self.content, {})
        original: torch.nn.Module = kind(**arguments)
        if not _inside.get():
            return original
        request = Request(self.after, torch.get_default_device().type, torch.get_default_dtype())
        return KernelActivation(self.after, select(request).kernel.name, original=original, origin=self.before)
