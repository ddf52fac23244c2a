"""Which run this is: what a checkpoint must agree with before a run goes on from it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from gelu_patch.errors import UsageError
from gelu_patch.patching import current_plan
from gelu_patch.training.recipe import Recipe

# Fields of the recipe that change what is written about a run, and nothing that it computes.
_REPORTING_ONLY = frozenset({"target_loss"})


def describe(model: nn.Module, recipe: Recipe, processes: int, lengths: list[int], **more: Any) -> dict[str, Any]:
    """Return what decides the course of a run, as plain data; ``more`` is what only the caller knows.

    ``lengths`` are those of the training examples. To be called before training: the names and shapes of what is
    trained are in it, the values are not.
    """
    trained = {name: list(p.shape) for name, p in model.named_parameters() if p.requires_grad}
    return {
        "model": type(model).__name__,
        "trained parameters": _digest(sorted(trained.items())),
        "patch": {change.site: change.after for change in current_plan(model).changes},
        "recipe": {k: v for k, v in recipe.model_dump(mode="json").items() if k not in _REPORTING_ONLY},
        "processes": processes,
        "examples": {"number": len(lengths), "lengths": _digest(lengths)},
        **more,
    }


def check_same_run(there: Mapping[str, Any], here: Mapping[str, Any], where: object) -> None:
    """Raise UsageError, naming what differs, unless a checkpoint is of the run that wants to go on from it."""
    differences = list(_differences(there, here, ""))
    if not differences:
        return
    shown = "; ".join(differences[:4]) + (f"; and {len(differences) - 4} more" if len(differences) > 4 else "")
    raise UsageError(
        f"{where} is of another run, so this one cannot go on from it",
        why=shown,
        next_step="repeat the command of that run, choose another --output_dir, or start anew with "
        "--overwrite_output_dir, which removes it",
    )


def _differences(there: Mapping[str, Any], here: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key in sorted({*there, *here}):
        old, new = there.get(key), here.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _differences(old, new, f"{prefix}{key}.")
        elif old != new:
            yield f"{prefix}{key} is {_short(old)} there and {_short(new)} here"


def _short(value: object) -> str:
    text = "absent" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]
