"""Adapters (PEFT's) that were trained on a patched base carry the sidecar; loading them on another base warns.

PEFT is never imported: its models are known by their methods, so this costs nothing where there is no PEFT. Where
gelu-patch is not used at all, PEFT itself warns: it names the keys of ``adapter_config.json`` that it does not know.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from gelu_patch.errors import MathematicsWarning
from gelu_patch.patching.current import current_activations, current_plan
from gelu_patch.patching.plan import Change, Plan
from gelu_patch.patching.sidecar import Sidecar, load_sidecar

ADAPTER_CONFIG = "adapter_config.json"

# PEFT prints the key, not its value, when it does not know it; the value is for people who open the file.
KEY = "base_model_needs_gelu_patch__see_gelu_patch.json"
_ADVICE = (
    "This adapter was trained on a base model with swapped activations: pip install gelu-patch, and before loading "
    "the adapter call gelu_patch.apply_plan(base, gelu_patch.load_sidecar(this_directory).plan)"
)

# What PEFT puts into dotted paths around the modules of the base.
_PEFT_PARTS = re.compile(r"\.(?:base_layer|original_module|modules_to_save\.[^.]+)(?=\.|$)")

_HUB = ("subfolder", "revision", "cache_dir", "token", "local_files_only")


def is_peft_model(module: nn.Module) -> bool:
    """Tell a ``peft.PeftModel`` from others, without importing peft."""
    return all(hasattr(type(module), name) for name in ("get_base_model", "load_adapter", "save_pretrained"))


def holds_adapters(model: nn.Module) -> bool:
    """Whether ``save_pretrained`` writes adapters only: a PEFT model, or a Transformers model with its own adapters."""
    return is_peft_model(model) or bool(getattr(model, "_hf_peft_config_loaded", False))


def adapter_base(directory: Path) -> str | None:
    """Return the base model that the adapter in ``directory`` belongs to, or None when it holds none."""
    path = directory / ADAPTER_CONFIG
    if not path.is_file():
        return None
    return str(json.loads(path.read_text(encoding="utf-8"))["base_model_name_or_path"])


def describe_saved(model: nn.Module, arguments: Mapping[str, Any]) -> None:
    """Write the sidecar beside every adapter that was just saved."""
    if not arguments.get("is_main_process", True):
        return
    base = _base(model)
    plan = _plan_for_the_bare_base(base)
    sidecar = Sidecar.of(base, kind="adapter", plan=plan, activations=_activations(base))
    for directory in _saved_to(model, arguments):
        sidecar.write(directory)
        config = directory / ADAPTER_CONFIG
        if plan.changes_values:
            content = json.loads(config.read_text(encoding="utf-8")) | {KEY: _ADVICE}
            config.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _saved_to(model: Any, arguments: Mapping[str, Any]) -> Iterator[Path]:
    directory = Path(arguments["save_directory"])
    names = ["default"]
    if is_peft_model(model):
        names = arguments.get("selected_adapters") or list(model.peft_config)
    for name in names:
        folder = directory if name == "default" else directory / name
        if (folder / ADAPTER_CONFIG).is_file():
            yield folder


def check(model: nn.Module, arguments: Mapping[str, Any]) -> None:
    """Warn when the adapter that ``load_adapter`` is about to load was trained on other mathematics.

    Raises DataError when the adapter's sidecar is damaged or too new.
    """
    given = {**arguments, **arguments.get("kwargs", {})}
    source = given.get("model_id") or given.get("peft_model_id")
    if source is None:
        return
    sidecar = load_sidecar(source, **{key: given[key] for key in _HUB if given.get(key) is not None})
    if sidecar is None:
        return
    base = _base(model)
    now = _activations(base)
    different = {name: wanted for name, wanted in sidecar.activations.items() if now.get(name) != wanted}
    if not different:
        return
    name, wanted = next(iter(different.items()))
    warnings.warn(
        MathematicsWarning.saying(
            f"this adapter was trained on a {sidecar.model} with other activations than this {type(base).__name__} has",
            where=source,
            why=f"{len(different)} of {len(sidecar.activations)} sites differ, such as {name}: trained with {wanted}, "
            f"here {now.get(name, 'no such site')}",
            next_step=_how_to_fix(sidecar, source),
        ),
        stacklevel=4,
    )


def _how_to_fix(sidecar: Sidecar, source: object) -> str:
    if not sidecar.plan.changes_values:
        return "load the adapter on the base that it was trained on; gelu_patch.unpatch_model(base) undoes a swap"
    return (
        f"base = ...from_pretrained(...); gelu_patch.apply_plan(base, gelu_patch.load_sidecar({str(source)!r}).plan); "
        "then load the adapter on that base"
    )


def quiet_peft() -> None:
    """Silence PEFT's warning about our key in this process: here ``check`` looks, and knows better."""
    warnings.filterwarnings("ignore", message=rf"Unexpected keyword arguments \['{re.escape(KEY)}'\]")


def _base(model: Any) -> nn.Module:
    base: nn.Module = model.get_base_model() if is_peft_model(model) else model
    return base


def _bare(name: str) -> str:
    return _PEFT_PARTS.sub("", name)


def _activations(base: nn.Module) -> dict[str, str]:
    return {_bare(name): activation for name, activation in current_activations(base).items()}


def _plan_for_the_bare_base(base: nn.Module) -> Plan:
    """The current plan with the paths that the sites have without adapters."""
    plan = current_plan(base)
    changes: dict[str, Change] = {}
    for change in plan.changes:
        site, owners = _bare(change.site), tuple(dict.fromkeys(map(_bare, change.owners)))
        changes[site] = change.model_copy(update={"site": site, "owners": owners})
    return plan.model_copy(update={"changes": tuple(changes.values())})
