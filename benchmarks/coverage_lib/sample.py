"""A model that is ready to be checked: built, with calls that run. Or why not."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from .build import TooLarge, build, build_small
from .entries import Call, Everything, find_calls
from .inputs.multimodal import untouched
from .recipes import LADDER, Recipe

SEARCH_SECONDS = 20.0
SAME_ERRORS = 3  # recipes; when they all fail in the same words, sizes are not the reason


@dataclass(frozen=True)
class Sample:
    """A small model with the calls that run it; ``twin`` builds a second one with the same weights."""

    cls: type[Any]
    config: Any
    recipe: Recipe
    model: torch.nn.Module
    calls: tuple[Call, ...]

    @property
    def untouched(self) -> list[str]:
        """The modalities that none of the calls reaches."""
        return untouched(self.model, {name for call in self.calls for name in call.arguments})

    @property
    def everything(self) -> Everything:
        """The model with all of its calls in one forward."""
        return Everything(self.model, self.calls).eval()

    def twin(self) -> Everything:
        """Return another instance of the same class with the same weights."""
        return Everything(build(self.cls, self.config), self.calls).eval()


class NoSample(Exception):
    """A class that no recipe builds, or that does not run; ``stage`` is "build" or "run"."""

    def __init__(self, stage: str, recipe: Recipe, error: BaseException) -> None:
        lines = str(error).strip().splitlines()
        super().__init__(f"{type(error).__name__}: {lines[0][:240]}" if lines else type(error).__name__)
        self.stage = stage
        self.recipe = recipe


def find_sample(cls: type[Any], ladder: Iterable[Recipe] = LADDER) -> Sample:
    """Return the sample of the first recipe with which ``cls`` is built and runs. Raises NoSample."""
    failure: NoSample | None = None
    partial: Sample | None = None
    deadline = time.monotonic() + SEARCH_SECONDS
    seen: Counter[str] = Counter()
    for recipe in ladder:
        if (failure or partial) and (time.monotonic() > deadline or max(seen.values(), default=0) >= SAME_ERRORS):
            break
        try:
            model, config = build_small(cls, recipe)
        except TooLarge as error:
            # Later recipes are larger; what stopped the smaller ones is the reason to keep.
            failure = failure or NoSample("build", recipe, error)
            if recipe.shallow:
                break
        except Exception as error:
            seen[str(error)] += 1
            failure = failure or NoSample("build", recipe, error)
            continue
        try:
            sample = Sample(cls, config, recipe, model, find_calls(model, config))
            if not sample.untouched:
                return sample
            # Text alone runs at every size; a larger recipe may be one that its towers can do with.
            partial = partial or sample
        except Exception as error:
            seen[str(error)] += 1
            if failure is None or failure.stage == "build":
                failure = NoSample("run", recipe, error)
    if partial is not None:
        return partial
    assert failure is not None
    raise failure
