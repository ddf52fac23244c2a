"""What ``save_pretrained`` of a patched model writes.

Weights are never changed by a patch. With the mathematics unchanged the checkpoint is the stock one, plus a sidecar.
With changed mathematics plain Transformers must not load the weights and run the old function in silence: either
the saved config names the new one, or the weights get a name that plain Transformers does not look for.
"""

from __future__ import annotations

import inspect
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from gelu_patch.errors import UnsupportedModel
from gelu_patch.patching import adapters
from gelu_patch.patching.config_names import NO_SUCH_WEIGHTS, WEIGHTS_KEY, name_in_config, with_changes
from gelu_patch.patching.current import current_activations, current_plan
from gelu_patch.patching.sidecar import SIDECAR, ConfigChange, Sidecar

VARIANT = "gelu_patch"
CONFIG = "config.json"

# One save at a time has a changed config in its model's place.
_LOCK = threading.RLock()


def variant_of(hidden: bool, variant: str | None = None) -> str | None:
    """Return the variant (Transformers' word for another name of the weights' file) under which weights lie."""
    if not hidden:
        return variant
    return f"{VARIANT}-{variant}" if variant else VARIANT


def save(model: nn.Module, stock: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call ``stock``, the model's own ``save_pretrained``, so that what it writes does not lie; return its result.

    Writes the sidecar ``gelu_patch.json`` when the model is patched. Raises UnsupportedModel when the mathematics
    changed and the class gives no way to say so.
    """
    plan = current_plan(model)
    if not plan.changes:
        return stock(*args, **kwargs)
    call = inspect.signature(stock).bind(*args, **kwargs)
    if adapters.holds_adapters(model):
        result = stock(*args, **kwargs)
        adapters.describe_saved(model, call.arguments)
        return result
    if not _is_checkpoint_class(model):
        _check_other_class(model, plan.changes_values)
        return stock(*args, **kwargs)
    changes: tuple[ConfigChange, ...] | None = ()
    if plan.changes_values:
        changes = name_in_config(model)
    sidecar = Sidecar.of(
        model, plan=plan, activations=current_activations(model), config=changes or (), hidden=changes is None
    )
    _check_arguments(model, sidecar, _flat(call))
    kwargs = dict(kwargs)
    if sidecar.hidden:
        args, kwargs = _with_variant(call)
    with _config_replaced(model, sidecar.config):
        result = stock(*args, **kwargs)
    _write_beside(sidecar, _flat(call))
    return result


def _flat(call: inspect.BoundArguments) -> dict[str, Any]:
    """All arguments by name, those in ``**kwargs`` as well."""
    flat = dict(call.arguments)
    for name, parameter in call.signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            flat |= flat.pop(name, {})
    return flat


def _with_variant(call: inspect.BoundArguments) -> tuple[tuple[Any, ...], dict[str, Any]]:
    new = variant_of(True, _flat(call).get("variant"))
    if "variant" in call.signature.parameters:
        call.arguments["variant"] = new
        return call.args, call.kwargs
    return call.args, call.kwargs | {"variant": new}


def _is_checkpoint_class(model: nn.Module) -> bool:
    """Whether it saves like a Transformers model: a config.json and weights that may have a variant."""
    return hasattr(type(model), "config_class") or (
        "variant" in inspect.signature(type(model).save_pretrained).parameters  # type: ignore[attr-defined]
    )


def _check_other_class(model: nn.Module, changes_values: bool) -> None:
    """A wrapper (of trl, of sentence-transformers) passes the call on to the model inside, which has its own hook."""
    inside = [module for module in model.modules() if module is not model and hasattr(type(module), "config_class")]
    if changes_values and not inside:
        raise UnsupportedModel(
            f"{type(model).__name__} cannot be saved with changed mathematics",
            why="its save_pretrained is not that of Transformers, and has no way to say that the activations changed",
            next_step="torch.save(model.state_dict(), path), and gelu_patch.patching.current_plan(model).save(path) "
            "for gelu_patch.apply_plan",
        )


def _check_arguments(model: nn.Module, sidecar: Sidecar, arguments: dict[str, Any]) -> None:
    if sidecar.hidden and arguments.get("distributed_checkpoint"):
        raise UnsupportedModel(
            f"{type(model).__name__} cannot be saved as a distributed checkpoint",
            why="its activations have no name in the config, so the weights get a name that plain Transformers does "
            "not look for, and distributed checkpoints have fixed names",
            next_step="save_pretrained(directory, distributed_checkpoint=False), or swap all sites of a config field",
        )
    if arguments.get("push_to_hub") and arguments.get("create_pr"):
        raise UnsupportedModel(
            "a patched model cannot be pushed as a pull request while it is saved",
            why=f"{SIDECAR} is pushed after the model, and would end in another pull request",
            next_step="save_pretrained(directory), then "
            "huggingface_hub.upload_folder(repo_id=..., folder_path=directory, create_pr=True)",
        )


@contextmanager
def _config_replaced(model: Any, changes: tuple[ConfigChange, ...]) -> Iterator[None]:
    """Let the model have a changed copy of its config while it is saved; the config itself is not touched."""
    if not changes:
        yield
        return
    with _LOCK:
        config = model.config
        model.config = with_changes(config, changes)
        try:
            yield
        finally:
            model.config = config


def _write_beside(sidecar: Sidecar, arguments: dict[str, Any]) -> None:
    directory = Path(arguments["save_directory"])
    if not arguments.get("is_main_process", True) or not directory.is_dir():  # Transformers only logs the latter
        return
    written = [sidecar.write(directory)]
    config = directory / CONFIG
    if sidecar.hidden and config.is_file():
        content = json.loads(config.read_text(encoding="utf-8"))
        text = json.dumps(content | {WEIGHTS_KEY: NO_SUCH_WEIGHTS}, indent=2, sort_keys=True) + "\n"
        config.write_text(text, encoding="utf-8")
        written.append(config)
    if arguments.get("push_to_hub"):
        _push(written, arguments)


def _push(files: list[Path], arguments: dict[str, Any]) -> None:
    """Add the files to the repository that Transformers has just pushed the model to."""
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi(token=arguments.get("token"))
    wanted = arguments.get("repo_id") or os.fspath(arguments["save_directory"]).split(os.path.sep)[-1]
    api.create_commit(
        repo_id=api.create_repo(wanted, exist_ok=True).repo_id,
        operations=[CommitOperationAdd(path_in_repo=file.name, path_or_fileobj=str(file)) for file in files],
        commit_message=arguments.get("commit_message") or f"Add {SIDECAR}",
    )
