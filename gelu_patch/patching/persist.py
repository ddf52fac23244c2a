"""Saving a patched model on purpose; plain ``model.save_pretrained`` does the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from gelu_patch.errors import UnsupportedModel
from gelu_patch.patching.current import patched_sites
from gelu_patch.patching.hooks import SavePretrained
from gelu_patch.patching.sidecar import SIDECAR


def save_patched(model: nn.Module, directory: str | Path, **kwargs: Any) -> Path:
    """Save ``model`` like ``model.save_pretrained(directory, **kwargs)``; return the directory.

    Unlike that, it says when a model cannot be saved, and it takes away the sidecar that an earlier state of a model,
    which is stock now, left in the directory. Raises UnsupportedModel when the model has no ``save_pretrained``.
    """
    directory = Path(directory)
    method: Any = getattr(model, SavePretrained.method, None)
    if method is None:
        raise UnsupportedModel(
            f"{type(model).__name__} has no save_pretrained",
            next_step="save its state_dict and the plan: gelu_patch.patching.current_plan(model).save(path)",
        )
    if patched_sites(model):
        SavePretrained.attach(model)  # maybe only a part was patched, and knows
        method = vars(model)[SavePretrained.method]
    method(directory, **kwargs)
    if not patched_sites(model):
        (directory / SIDECAR).unlink(missing_ok=True)
    return directory
