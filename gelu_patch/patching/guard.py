"""The model around a patched part: it has no hook of ours, and must not be saved as if it were stock.

A module does not know what it is part of. But whoever saves a model asks all its parts for their state, so the part
sees, in the frames above, which ``save_pretrained`` that is for.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

from torch import nn

from gelu_patch.errors import UnsupportedModel

_METHOD = "save_pretrained"


def guard(module: nn.Module) -> None:
    """Make saving a model around ``module`` an error, unless that model says what it holds."""
    if not _is_guarded(module):
        module.register_state_dict_pre_hook(_refuse_to_lie)  # type: ignore[no-untyped-call]  # torch leaves it untyped


def unguard(module: nn.Module) -> None:
    """Undo ``guard``, also on a copy of the module."""
    hooks = module._state_dict_pre_hooks
    for key in [key for key, hook in hooks.items() if hook is _refuse_to_lie]:
        del hooks[key]


def _is_guarded(module: nn.Module) -> bool:
    return any(hook is _refuse_to_lie for hook in module._state_dict_pre_hooks.values())


def _refuse_to_lie(module: nn.Module, prefix: str, keep_vars: bool) -> None:
    saved = _model_being_saved(sys._getframe(1))
    if saved is not None and _METHOD not in vars(saved):
        raise UnsupportedModel(
            f"{type(saved).__name__} holds a part whose activations were swapped, and would be saved without saying so",
            where=prefix.removesuffix(".") or None,
            why="only the part was patched, so only the part knows; plain Transformers would load the old function",
            next_step="gelu_patch.save_patched(model, directory)",
        )


def _model_being_saved(frame: FrameType | None) -> Any:
    """The model of the nearest ``save_pretrained`` that is running."""
    while frame is not None:
        if frame.f_code.co_name == _METHOD and isinstance(frame.f_locals.get("self"), nn.Module):
            return frame.f_locals["self"]
        frame = frame.f_back
    return None
