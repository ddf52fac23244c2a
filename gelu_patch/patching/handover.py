"""What a replacement takes over from the module that stood at a site, and gives back: hooks and the training flag."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from torch import nn

from gelu_patch.errors import PatchConflict
from gelu_patch.sites.base import Owner, forward_is_replaced

# Shared with the original, so that hooks on a site stay on it in both directions and handles keep working.
_HOOKS = (
    "_forward_hooks", "_forward_pre_hooks", "_forward_hooks_with_kwargs", "_forward_pre_hooks_with_kwargs",
    "_forward_hooks_always_called", "_backward_hooks", "_backward_pre_hooks",
)  # fmt: skip
_FLAG = "_is_full_backward_hook"  # no dictionary: each module has its own


def hand_over(old: object, new: nn.Module) -> None:
    """Give ``new`` the hooks and the training flag of ``old``.

    An object of the whole process, such as ``transformers.activations.gelu``, gives copies: a hook that is put on
    the replacement must not run in other models.
    """
    if not isinstance(old, nn.Module):
        return
    new.training = old.training
    everybodys = _belongs_to_everybody(old)
    for name in _HOOKS:
        hooks: Any = vars(old)[name]
        vars(new)[name] = type(hooks)(hooks) if everybodys else hooks
    vars(new)[_FLAG] = vars(old)[_FLAG]


def hand_back(current: object, original: object) -> None:
    """Give ``original`` what changed on its replacement meanwhile."""
    if isinstance(original, nn.Module) and isinstance(current, nn.Module):
        # model.train() and model.eval() reach what stands at the site.
        original.training = current.training
        if not _belongs_to_everybody(original):
            vars(original)[_FLAG] = vars(current)[_FLAG]


def check_unhooked(owners: Iterable[Owner]) -> None:
    """Raise PatchConflict when somebody replaced the forward of a replacement: undoing the patch would drop that, and
    taking it off later would bring the replacement back."""
    for owner in owners:
        if forward_is_replaced(owner.current):
            raise PatchConflict(
                "cannot undo this patch",
                where=owner.names[0],
                why="a hook was put on the replacement after the patch, as accelerate does",
                next_step="accelerate.hooks.remove_hook_from_module(module), then undo the patch",
            )


def _belongs_to_everybody(module: nn.Module) -> bool:
    home = sys.modules.get(type(module).__module__)
    return home is not None and any(value is module for value in vars(home).values())
