"""Saying in a Transformers config which activation a model runs, where the config has a name for it.

Nothing here believes a field's name: some lie, some are ignored, some also drive other sites. A model is built from the
changed config, on the meta device, and its sites are looked at.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from gelu_patch.activations.base import activations
from gelu_patch.errors import DataError
from gelu_patch.patching.current import current_activations
from gelu_patch.patching.sidecar import SIDECAR, ConfigChange, Sidecar
from gelu_patch.patching.wanted import look_ups_give
from gelu_patch.sites.inline.reading import stock_class

# Transformers takes the name of the weights' file from this key of config.json. No file has this name, so that
# loading a checkpoint with hidden weights ends in a message that says what to call.
WEIGHTS_KEY = "transformers_weights"
NO_SUCH_WEIGHTS = "load_this_with.gelu_patch.load_patched.safetensors"


def name_in_config(model: nn.Module) -> tuple[ConfigChange, ...] | None:
    """Return the changes of ``model.config`` after which plain Transformers builds the mathematics of ``model``.

    None when there are none: Transformers has no name for an activation, only some of the sites that a field
    drives were swapped, a GELU is hard-coded, or the class cannot be built from its config alone. The model and
    its config are only read.
    """
    wanted, kind, config = current_activations(model), stock_class(type(model)), getattr(model, "config", None)
    if not (hasattr(config, "to_json_string") and hasattr(config, "from_dict")):
        return None
    stock = _saved(config)
    before = _built(kind, config, stock)
    if before is None:
        return None
    after = stock
    for path, value in _fields(stock):
        new = _right_value(model, stock, path, value, before, wanted)
        if new is not None:
            after = _with_value(after, path, new)
    if after is stock:
        return None
    changes = _differences(_read(config, stock).to_dict(), _read(config, after).to_dict())
    # Derived fields are saved as well, and order matters when they are read: judge what the file will hold.
    if _built(kind, config, _saved(with_changes(config, changes))) != wanted:
        return None
    return changes


def with_changes(config: Any, changes: tuple[ConfigChange, ...]) -> Any:
    """Return a copy of ``config`` with the new values."""
    return _edited(config, {change.path: change.new for change in changes})


def stock_config(config: Any, sidecar: Sidecar) -> Any:
    """Return a copy of a loaded ``config`` that builds the stock model, to which the sidecar's plan applies.

    Raises DataError when the config is not the one that was saved with the sidecar.
    """
    for change in sidecar.config:
        found = _value_at(config, change.path)
        if found != change.new:
            raise _not_together(f"{'.'.join(change.path)} is {found!r}; the saved one said {change.new!r}")
    if sidecar.hidden and getattr(config, WEIGHTS_KEY, None) != NO_SUCH_WEIGHTS:
        raise _not_together(f"{WEIGHTS_KEY} does not say {NO_SUCH_WEIGHTS!r}, which is saved with hidden weights")
    stock = _edited(config, {change.path: change.old for change in sidecar.config})
    if sidecar.hidden:
        delattr(stock, WEIGHTS_KEY)
    return stock


def _not_together(why: str) -> DataError:
    return DataError(
        f"config.json and {SIDECAR} do not belong together",
        why=f"{why}; somebody saved another model into this directory, or edited the config",
        next_step=f"if the plain model is meant, delete {SIDECAR} and load it with transformers; "
        "otherwise save the patched model again into an empty directory",
    )


def _fields(data: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value of a saved config and its sub-configs that may choose an activation."""
    for key, value in data.items():
        if isinstance(value, dict):
            yield from _fields(value, (*path, key))
        elif (isinstance(value, str) and _key(value) in activations) or (isinstance(value, bool) and key in _SWITCHES):
            yield (*path, key), value


# XLM and Flaubert: GELU or, when false, ReLU.
_SWITCHES = ("gelu_activation",)


def _key(value: str) -> str:
    """The ACT2FN key in a value; T5 writes ``gated-gelu``."""
    return value.rpartition("-")[2]


def _right_value(
    model: nn.Module,
    stock: Mapping[str, Any],
    path: tuple[str, ...],
    value: Any,
    before: Mapping[str, str],
    wanted: Mapping[str, str],
) -> Any:
    """The value with which the field gives all the sites that it drives what they have now, or None."""
    changed = {wanted[name] for name in before if wanted.get(name, before[name]) != before[name]}
    for activation in sorted(changed):
        for new in _values(value, activation):
            built = _built(stock_class(type(model)), model.config, _with_value(stock, path, new))
            driven = {name for name in built or () if built[name] != before.get(name)} if built else set()
            if built and driven and all(built[name] == wanted.get(name) for name in driven):
                return new
    return None


def _values(value: Any, activation: str) -> Iterator[Any]:
    from transformers.activations import ACT2CLS

    if isinstance(value, bool):
        yield not value
        return
    prefix = value.removesuffix(_key(value))
    for name in (activation, *activations.aliases_of(activation)):
        if name in ACT2CLS:
            yield prefix + name


def _built(kind: type[nn.Module], config: Any, data: Mapping[str, Any]) -> dict[str, str] | None:
    """The activations of a model that Transformers builds from a saved config, or None when it does not."""
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"), look_ups_give(None):
            return current_activations(kind(_read(config, data)))
    except Exception:  # configs and models refuse values in every way there is
        return None


def _saved(config: Any) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(config.to_json_string())
    return content


def _read(config: Any, data: Mapping[str, Any]) -> Any:
    return type(config).from_dict(copy.deepcopy(dict(data)))


def _with_value(data: Mapping[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    first, *rest = path
    return {**data, first: _with_value(data[first], tuple(rest), value) if rest else value}


def _differences(old: Any, new: Any, path: tuple[str, ...] = ()) -> tuple[ConfigChange, ...]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = dict.fromkeys([*old, *new])
        return tuple(c for key in keys for c in _differences(old.get(key), new.get(key), (*path, key)))
    return () if old == new else (ConfigChange(path=path, old=old, new=new),)


def _edited(config: Any, values: Mapping[tuple[str, ...], Any]) -> Any:
    config = copy.deepcopy(config)
    for path, value in values.items():
        holder = _value_at(config, path[:-1])
        if isinstance(holder, dict):
            holder[path[-1]] = value
        else:
            setattr(holder, path[-1], value)
    return config


def _value_at(config: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        config = config.get(key) if isinstance(config, dict) else getattr(config, key, None)
    return config
