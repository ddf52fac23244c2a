"""Loading a patched checkpoint as it was saved: the stock model, then its patch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from gelu_patch.errors import ModelNotFound, PatchConflict, UnsupportedModel
from gelu_patch.memory import Memory, checked
from gelu_patch.patching.config_names import stock_config
from gelu_patch.patching.current import class_name, current_activations
from gelu_patch.patching.saving import variant_of
from gelu_patch.patching.sidecar import SIDECAR, Sidecar, current_versions, load_sidecar
from gelu_patch.patching.transaction import Patch, apply_plan
from gelu_patch.patching.wanted import look_ups_give

# The keyword arguments of from_pretrained that say where files come from; the others belong to the config or the model.
_ACCESS = (
    "cache_dir", "force_download", "local_files_only", "proxies", "revision", "subfolder", "token",
    "trust_remote_code", "code_revision",
)  # fmt: skip


def load_patched(
    directory: str | os.PathLike[str],
    model_class: Any = None,
    *,
    config: Any = None,
    memory: Memory | None = None,
    **kwargs: Any,
) -> tuple[Any, Patch]:
    """Load a checkpoint with its patch; return the model and the patch, which can be reverted.

    ``directory`` may be a Hub id. ``model_class`` has ``from_pretrained`` (default: the class that the config
    names); ``kwargs`` go to it, ``config`` is the checkpoint's config if it is loaded already. ``memory`` (see
    ``plan_patch``) replaces the saved one. A surrounding ``patch_act2fn`` has no effect: the checkpoint says what it
    computes.

    Raises ModelNotFound when there is no sidecar, DataError when it is damaged, too new or does not belong to the
    config.json, PatchConflict when it belongs to another model, and UnsupportedModel when the checkpoint needs
    ``trust_remote_code=True``.
    """
    access = {name: kwargs.pop(name) for name in _ACCESS if name in kwargs}
    access.setdefault("trust_remote_code", False)  # Transformers would ask on the terminal
    sidecar = load_sidecar(directory, **{k: v for k, v in access.items() if k not in _ACCESS[-2:]})
    if sidecar is None:
        raise ModelNotFound(
            f"{directory} holds no patched model",
            why=f"there is no {SIDECAR}",
            next_step="load it with transformers; save_pretrained of a patched model writes the file",
        )
    if sidecar.kind == "adapter":
        raise UnsupportedModel(
            f"{directory} holds an adapter, not a model",
            why=f"its {SIDECAR} describes the base that the adapter was trained on",
            next_step="gelu_patch.apply_plan(base, gelu_patch.load_sidecar(directory).plan), "
            "then peft.PeftModel.from_pretrained(base, directory)",
        )
    with _untrusted_code_explained(directory), look_ups_give(None):
        if config is None:
            config, kwargs = _load_config(directory, access, kwargs)
        model_class = model_class or _class_or_refusal(config, directory)
        model = model_class.from_pretrained(
            directory,
            config=stock_config(config, sidecar),
            variant=variant_of(sidecar.hidden, kwargs.pop("variant", None)),
            **access,
            **kwargs,
        )
    if class_name(model) != sidecar.model and getattr(config, "auto_map", None) and not access["trust_remote_code"]:
        raise _untrusted(directory)  # Transformers has put a class of its own in the place of the remote one
    if memory is not None:
        plan = sidecar.plan.model_copy(update={"memory": checked(memory)})
        sidecar = sidecar.model_copy(update={"plan": plan})
    return model, apply_sidecar(model, sidecar)


def apply_sidecar(model: nn.Module, sidecar: Sidecar) -> Patch:
    """Apply the plan of a sidecar to the stock model, and check that it computes what was saved.

    Raises PatchConflict, with the model as it was, when the sidecar belongs to another model.
    """
    if class_name(model) != sidecar.model:
        raise _foreign(f"it was written for a {sidecar.model}, and this is a {class_name(model)}")
    patch = apply_plan(model, sidecar.plan)
    now = current_activations(model)
    different = [name for name, wanted in sidecar.activations.items() if now.get(name) != wanted]
    unknown = [name for name in now if name not in sidecar.activations]
    # Other versions may see sites that were not seen when it was saved; those were stock and still are.
    if different or (unknown and sidecar.versions == current_versions()):
        patch.revert()
        name = (different or unknown)[0]
        raise _foreign(
            f"it knows {len(sidecar.activations)} sites, the model has {len(now)}; the first that differs is {name}: "
            f"saved with {sidecar.activations.get(name, 'no such site')}, here {now.get(name, 'no such site')}"
        )
    return patch


def _foreign(why: str) -> PatchConflict:
    return PatchConflict(
        f"this {SIDECAR} belongs to another model",
        why=why,
        next_step="load the class that was saved (leave model_class out), or put the right file beside the weights",
    )


def _load_config(
    directory: str | os.PathLike[str], access: dict[str, Any], kwargs: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """The config, with the keyword arguments that are meant for it, and the other ones."""
    from transformers import AutoConfig

    config, rest = AutoConfig.from_pretrained(directory, return_unused_kwargs=True, **access, **kwargs)
    # Read for the config, and for the model as well.
    again = {name: kwargs[name] for name in ("dtype", "torch_dtype") if name in kwargs}
    return config, {**{k: v for k, v in rest.items() if not k.startswith("_") and k not in access}, **again}


def class_named_in(config: Any) -> Any:
    """Return the class whose ``from_pretrained`` loads what ``config`` names, or None when there is none.

    Remote code is reached through the Auto classes only: the one that gives this architecture, with its head.
    """
    import transformers

    architecture = (config.architectures or [""])[0]
    remote = getattr(config, "auto_map", None) or {}
    auto = next((name for name, path in remote.items() if str(path).endswith(f".{architecture}")), architecture)
    return getattr(transformers, auto, None) if auto else None


def _class_or_refusal(config: Any, directory: object) -> Any:
    found = class_named_in(config)
    if found is None:
        raise UnsupportedModel(
            f"the config of {directory} names no class of transformers",
            why=f"architectures is {config.architectures}",
            next_step="pass model_class, for example transformers.AutoModelForCausalLM",
        )
    return found


@contextmanager
def _untrusted_code_explained(directory: object) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        if "trust_remote_code" not in str(error):
            raise
        raise _untrusted(directory) from error


def _untrusted(directory: object) -> UnsupportedModel:
    return UnsupportedModel(
        f"{directory} comes with its own Python code",
        why="running code from a checkpoint is off unless you ask for it",
        next_step="read that code; if you trust it, pass trust_remote_code=True",
    )
