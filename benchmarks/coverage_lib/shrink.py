"""Shrinking a config: the keyword arguments that make a small one, found by the names of its fields."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from typing import Any

from . import fields
from .recipes import Recipe

VOCABULARY = 384  # the byte-level models need 262
POSITIONS = 512
AUDIO_POSITIONS = 64
LAYERS = 2
EXPERTS = 4
QUERIES = 16
PATCHES = 4  # on a side of a small image
IMAGE = 64  # of a model that has no patch size

Json = dict[str, Any]


class Shrinker:
    """Shrinks one config with all its parts, so that a token id has the same new value everywhere.

    ``known`` are explicit values by config class, which count for parts, too.
    """

    def __init__(self, recipe: Recipe, known: Mapping[str, Json]) -> None:
        self.recipe = recipe
        self._known = known
        self._tokens: dict[int, int] = {}

    def arguments(self, config: Any) -> Json:
        """Return the arguments that differ from the defaults of ``config``, nested for its sub-configs."""
        return merged(self._arguments(config), copy.deepcopy(self._known.get(type(config).__name__, {})))

    def _part(self, config: Any) -> Json:
        """What a parent has to be told about a part: also the values that are the parent's own defaults."""
        identity = {"model_type": config.model_type} if getattr(config, "model_type", "") else {}
        return merged({**identity, **_given(config)}, self.arguments(config))

    def _arguments(self, config: Any) -> Json:
        accepted = _accepted(config)
        changed: Json = {}
        for name, value in vars(config).items():
            if name.startswith("_") or (accepted is not None and name not in accepted):
                continue  # derived from others, and derived again
            if _is_config(value):
                # A backbone of timm has its sizes in its name.
                if not getattr(value, "model_type", "").startswith("timm"):
                    changed[name] = self._part(value)
            elif isinstance(value, dict) and name in {"rope_parameters", "rope_scaling"}:
                changed[name] = {key: self._field(key, part, config) for key, part in value.items()}
            else:
                new = self._field(name, value, config)
                if new != value or type(new) is not type(value):
                    changed[name] = new
        # Classifiers of decoders refuse a batch of two without it.
        if getattr(config, "pad_token_id", 0) is None and hasattr(config, "vocab_size"):
            changed["pad_token_id"] = 0
        return changed

    def _field(self, name: str, value: Any, config: Any) -> Any:
        if _is_numbers(value):
            # Widths of stages belong together: all are divided, or none.
            large = max(value) if fields.WIDTH.search(name) else 0
            return [self._number(name, item, config, large) for item in value]  # as a config file has it
        return self._number(name, value, config) if _is_number(value) else value

    def _number(self, name: str, value: int, config: Any, large: int = 0) -> int:
        if fields.TOKEN.search(name):
            return self._token(value)
        for pattern, limit in _LIMITS:
            if pattern.search(name):
                return min(value, limit)
        if fields.EXPERT_GROUPS.search(name):
            return 1
        if fields.LAYERS.search(name) and not fields.NOT_LAYERS.search(name):
            return min(value, LAYERS) if self.recipe.shallow else value
        if fields.LAYER_INDICES.search(name):
            return min(value, LAYERS - 1) if self.recipe.shallow else value
        if fields.IMAGE.search(name):
            return self._image(value, config)
        return self._width(name, value, large)

    def _token(self, value: int) -> int:
        if value < VOCABULARY - 64:
            return value
        # From the end of the vocabulary down: far from the ids that inputs are made of.
        return self._tokens.setdefault(value, VOCABULARY - 1 - len(self._tokens))

    def _image(self, value: int, config: Any) -> int:
        patch = getattr(config, "patch_size", None)
        small = PATCHES * patch if isinstance(patch, int) and patch > 1 and not hasattr(config, "depths") else IMAGE
        return min(value, small) if self.recipe.small_images else value

    def _width(self, name: str, value: int, large: int) -> int:
        input_width = fields.INPUT_WIDTH.search(name) and not large and value <= fields.LARGEST_INPUT_WIDTH
        if input_width or not fields.WIDTH.search(name) or fields.NOT_WIDTH.search(name):
            return value
        smallest = 2 if name.endswith("section") else 16
        if max(value, large) < smallest or (large and value <= 4):  # colours, at the start of a list of widths
            return value
        return max(1, value // self.recipe.divide)


_LIMITS = (
    (fields.VOCABULARY, VOCABULARY),
    (fields.POSITIONS, POSITIONS),
    (fields.AUDIO_POSITIONS, AUDIO_POSITIONS),
    (fields.EXPERTS, EXPERTS),
    (fields.EXPERTS_CHOSEN, 2),
    (fields.QUERIES, QUERIES),
)


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> Json:
    """Return ``base`` with the values of ``over``, also inside nested mappings."""
    result = dict(base)
    for name, value in over.items():
        old = result.get(name)
        result[name] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_config(value: Any) -> bool:
    from transformers import PretrainedConfig

    return isinstance(value, PretrainedConfig)


def _given(config: Any) -> Json:
    """The plain values of a config that are not the defaults of its class."""
    try:
        default = type(config)()
    except Exception:
        return {}
    accepted = _accepted(config)
    stages = getattr(config, "_out_indices", None)
    outputs = {"out_indices": list(stages)} if stages and stages != getattr(default, "_out_indices", None) else {}
    return outputs | {
        name: value
        for name, value in vars(config).items()
        if (accepted is None or name in accepted)
        and (isinstance(value, int | float | str) or _is_numbers(value))
        and vars(default).get(name) != value
    }


def _is_numbers(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(_is_number(item) for item in value)


def _accepted(config: Any) -> set[str] | None:
    """The fields that its constructor knows."""
    dataclass_fields = getattr(type(config), "__dataclass_fields__", None)
    if dataclass_fields:
        return set(dataclass_fields)
    names: set[str] = set()
    for parent in type(config).__mro__:
        if "__init__" in vars(parent):
            names |= set(inspect.signature(parent.__init__).parameters)
    return names
