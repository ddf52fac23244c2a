"""Saving a patched model, and loading it back as it was.

The weights are never changed by a patch, so a patch of the same mathematics is saved as a plain Transformers
checkpoint plus a sidecar. When the mathematics changed, plain Transformers would load the weights and run
the wrong function in silence; so the weights get a file name that it does not look for (a Transformers
"variant"), and it fails with a message instead.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from torch import nn

from gelu_patch.activations.recognise import describe
from gelu_patch.errors import DataError, ModelNotFound, UnsupportedModel
from gelu_patch.kernels import KernelActivation
from gelu_patch.patching.plan import Change, Plan
from gelu_patch.patching.selectors import SAME_MATHEMATICS
from gelu_patch.patching.transaction import Patch, apply_plan, stock_object
from gelu_patch.sites import Site, find_sites

SIDECAR = "gelu_patch.json"
VARIANT = "gelu_patch"


class Sidecar(BaseModel):
    """What ``gelu_patch.json`` holds: the plan against the stock model, and the weights' variant, if any."""

    model_config = ConfigDict(frozen=True)

    version: Literal[1] = 1
    variant: str | None = None
    plan: Plan


def current_plan(model: nn.Module) -> Plan:
    """Return what is patched on ``model`` right now, as a plan from its stock state."""
    changes = tuple(
        _change(site, site.target) for site in find_sites(model) if isinstance(site.target, KernelActivation)
    )
    names = {change.after if change.changes_mathematics else SAME_MATHEMATICS for change in changes}
    return Plan(model=type(model).__name__, target=", ".join(sorted(names)) or "stock", changes=changes)


def _change(site: Site, module: KernelActivation) -> Change:
    return Change(
        site=site.name,
        owners=site.names,
        form=site.form,
        implementation=describe(stock_object(module)),
        before=module.gelu_patch_origin,
        after=module.activation,
        kernel=module.kernel,
    )


def save_patched(model: nn.Module, directory: str | Path) -> Path:
    """Save ``model`` with ``save_pretrained`` and the sidecar ``gelu_patch.json``; return the directory.

    Raises UnsupportedModel when the model has no ``save_pretrained``.
    """
    save_pretrained = getattr(model, "save_pretrained", None)
    if save_pretrained is None:
        raise UnsupportedModel(
            f"{type(model).__name__} has no save_pretrained",
            next_step="save its state_dict and the plan: gelu_patch.current_plan(model).save(path)",
        )
    plan = current_plan(model)
    variant = VARIANT if plan.changes_mathematics else None
    directory = Path(directory)
    save_pretrained(directory, variant=variant)
    sidecar = directory / SIDECAR
    if plan.changes:
        sidecar.write_text(Sidecar(variant=variant, plan=plan).model_dump_json(indent=1) + "\n", "utf-8")
    else:
        sidecar.unlink(missing_ok=True)
    return directory


def load_sidecar(directory: str | Path) -> Sidecar | None:
    """Return the sidecar of a checkpoint directory, or None. Raises DataError when it cannot be used."""
    path = Path(directory) / SIDECAR
    if not path.is_file():
        return None
    try:
        return Sidecar.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        raise DataError(
            f"cannot use {path}",
            why=str(error),
            next_step="pip install --upgrade gelu-patch, or save the model again with gelu_patch.save_patched",
        ) from error


def load_patched(directory: str | Path, model_class: Any = None, **kwargs: Any) -> tuple[Any, Patch]:
    """Load a checkpoint with its patch; return the model and the patch.

    ``model_class`` has ``from_pretrained`` (default: the class that the config names); ``kwargs`` go to it.
    Raises ModelNotFound when there is no sidecar, PatchConflict when the plan does not fit the model.
    """
    sidecar = load_sidecar(directory)
    if sidecar is None:
        raise ModelNotFound(
            f"{directory} holds no patched model",
            why=f"there is no {SIDECAR}",
            next_step="load it with transformers, or save one with gelu_patch.save_patched(model, directory)",
        )
    model_class = model_class or _class_named_in_config(Path(directory))
    model = model_class.from_pretrained(directory, variant=sidecar.variant, **kwargs)
    return model, apply_plan(model, sidecar.plan)


def _class_named_in_config(directory: Path) -> Any:
    import transformers

    config = transformers.AutoConfig.from_pretrained(directory)
    names = config.architectures or []
    found = getattr(transformers, names[0], None) if names else None
    if found is None:
        raise UnsupportedModel(
            f"the config of {directory} names no class of transformers",
            why=f"architectures is {names}",
            next_step="pass model_class, for example transformers.AutoModelForCausalLM",
        )
    return found
