"""Models that are built inside a ``with`` block get their activations patched as they are built."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from gelu_patch.activations.base import activations
from gelu_patch.kernels import KernelActivation, Request, select
from gelu_patch.patching.hooks import models_built_here
from gelu_patch.patching.selectors import SAME_MATHEMATICS, target_name
from gelu_patch.patching.wanted import look_ups_give, wanted

# The table is global to the process, the wish is not: a thread outside of any block, which builds a model
# meanwhile, gets the stock activation, and blocks of several threads may overlap.
_lock = threading.Lock()
_open_blocks = 0
_stock: dict[str, Any] = {}


@contextmanager
def patch_act2fn(target: str) -> Iterator[None]:
    """Make every GELU look-up in ``transformers.activations.ACT2FN`` give ``target``, inside the block.

    For models built inside (``from_pretrained``, ``from_config``). Models built before are not touched; models
    built inside stay patched after it, and ``unpatch_model`` undoes that too. Only what a model takes from
    ACT2FN while it is built is reached: see what is left with ``inspect_model(model, example_inputs)``, or use
    ``patch_model`` on the finished model. Raises UnknownName for an unknown target.
    """
    with look_ups_give(target_name(target)), models_built_here():
        _enter()
        try:
            yield
        finally:
            _leave()


def _enter() -> None:
    global _open_blocks
    from transformers.activations import ACT2FN

    with _lock:
        _open_blocks += 1
        if _open_blocks == 1:
            _stock.update({key: dict.__getitem__(ACT2FN, key) for key in ACT2FN if _is_gelu(key)})
            for key, content in _stock.items():
                ACT2FN[key] = (_Entry(key, content), {})


def _leave() -> None:
    global _open_blocks
    from transformers.activations import ACT2FN

    with _lock:
        _open_blocks -= 1
        if _open_blocks == 0:
            for key, content in _stock.items():
                ACT2FN[key] = content
            _stock.clear()


def _is_gelu(key: str) -> bool:
    return key in activations and activations.get(key).is_gelu


class _Entry:
    """What stands in the table during a block: called like the class that it stands for."""

    def __init__(self, key: str, content: Any) -> None:
        self.before = activations.get(key).name
        self.content = content

    def __call__(self) -> torch.nn.Module:
        kind, arguments = self.content if isinstance(self.content, tuple) else (self.content, {})
        original: torch.nn.Module = kind(**arguments)
        target = wanted.get()
        if target is None:
            return original
        after = self.before if target == SAME_MATHEMATICS else target
        request = Request(after, torch.get_default_device().type, torch.get_default_dtype())
        return KernelActivation(after, select(request).kernel.name, original=original, origin=self.before)
