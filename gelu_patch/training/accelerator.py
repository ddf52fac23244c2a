"""One Accelerator per run: made for the recipe, checked against the launcher, and put away afterwards."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gelu_patch.environment import best_device
from gelu_patch.errors import MissingExtra, UsageError
from gelu_patch.training.recipe import Recipe


def check_can_train(recipe: Recipe) -> None:
    """Raise what would stop a run of this recipe here; cheap, so it can be asked before anything is loaded.

    MissingExtra without accelerate, UsageError for fp16 without a GPU and for several processes.
    """
    if importlib.util.find_spec("accelerate") is None:
        raise MissingExtra.of("accelerate", "train", "fine-tuning")
    if recipe.fp16 and best_device() == "cpu":
        raise UsageError("fp16 training needs a GPU", why="there is none here", next_step="use --bf16, or neither")
    _refuse_several_processes(int(os.environ.get("WORLD_SIZE", "1")))


@contextmanager
def accelerator_for(recipe: Recipe) -> Iterator[Any]:
    """Yield an ``accelerate.Accelerator`` with the recipe's precision, on the GPU if there is one.

    Accelerate keeps its settings in process-wide state. What this run put there is removed at the end, so
    that the next run may use another precision; an Accelerator of the caller's own is left alone.

    Raises MissingExtra without accelerate, and UsageError for fp16 on a CPU, for several processes, and when
    an Accelerator of the caller has other settings.
    """
    check_can_train(recipe)
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, PartialState

    on_cpu = best_device() == "cpu"
    had_settings, had_processes = bool(AcceleratorState._shared_state), bool(PartialState._shared_state)
    try:
        accelerator = Accelerator(mixed_precision=recipe.mixed_precision, cpu=on_cpu)
    except ValueError as error:
        raise UsageError(
            f"cannot set up training with mixed precision {recipe.mixed_precision!r}",
            why=str(error),
            next_step="use the settings of the Accelerator that this process has, or drop --bf16 and --fp16",
        ) from error
    try:
        _refuse_several_processes(accelerator.num_processes)
        yield accelerator
    finally:
        accelerator.free_memory()
        if not had_settings:
            AcceleratorState._reset_state(reset_partial_state=not had_processes)


def _refuse_several_processes(processes: int) -> None:
    if processes != 1:
        raise UsageError(
            f"fine-tuning was started in {processes} processes",
            why="this version trains in one process",
            next_step="start gelu-patch without accelerate launch or torchrun",
        )
