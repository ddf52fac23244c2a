"""From a model class and a recipe to a small model with known weights."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import torch
import yaml

from .recipes import Recipe
from .shrink import Json, Shrinker, merged
from .weights import order_one

SEED = 1729
LARGEST = 100_000_000  # parameters


class TooLarge(Exception):
    """The recipe leaves more parameters than a check of thousands of classes can afford."""


@cache
def overrides() -> dict[str, Json]:
    """Return explicit values, by config class or model class, for what no rule shrinks (overrides.yaml)."""
    return yaml.safe_load((Path(__file__).parent / "overrides.yaml").read_text(encoding="utf-8"))


def small_config(cls: type[Any], recipe: Recipe) -> Any:
    """Return a small config of a model class."""
    config_class = cls.config_class
    known = merged(overrides().get(config_class.__name__, {}), overrides().get(cls.__name__, {}))
    changed = Shrinker(recipe, overrides()).arguments(config_class(**copy.deepcopy(known)))
    return config_class(**merged(changed, copy.deepcopy(known)))


def build(cls: type[Any], config: Any) -> torch.nn.Module:
    """Return a model in eval mode whose weights depend on nothing but its class and config."""
    torch.manual_seed(SEED)
    model = cls(copy.deepcopy(config))
    order_one(model, SEED)
    return model.eval()


def configs_for(cls: type[Any], recipe: Recipe) -> Iterator[Any]:
    """Yield the configs that the class may be built from: its own, then the parts of it.

    The inner models of a composite often name the config of the whole as theirs and need a part.
    """
    waiting = [small_config(cls, recipe)]
    while waiting:
        config = waiting.pop(0)
        yield config
        waiting += [part for part in vars(config).values() if hasattr(part, "to_diff_dict")]


def build_small(cls: type[Any], recipe: Recipe) -> tuple[torch.nn.Module, Any]:
    """Return the model of a recipe and the config that it was built from.

    Raises the error of the class's own config when no part of it fits either, and TooLarge.
    """
    first: Exception | None = None
    for config in configs_for(cls, recipe):
        try:
            _check_size(cls, config)
            return build(cls, config), config
        except TooLarge:
            raise
        except Exception as error:
            first = first or error
    assert first is not None
    raise first


def _check_size(cls: type[Any], config: Any) -> None:
    try:
        with torch.device("meta"):
            parameters = sum(parameter.numel() for parameter in cls(copy.deepcopy(config)).parameters())
    except Exception:
        return  # it cannot be built on the meta device; the memory limit of the worker remains
    if parameters > LARGEST:
        raise TooLarge(f"{parameters / 1e6:.0f} million parameters")
