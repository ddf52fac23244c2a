"""One Accelerator per run: made for the recipe, checked against the launcher, and put away afterwards."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from gelu_patch.environment import best_device
from gelu_patch.errors import MissingExtra, UsageError
from gelu_patch.training.launch import check_launch
from gelu_patch.training.recipe import Recipe

# The first process evaluates and writes while the others wait.
PATIENCE = timedelta(hours=6)


def check_can_train(recipe: Recipe) -> None:
    """Raise what would stop a run of this recipe here; cheap, so it can be asked before anything is loaded.

    MissingExtra without accelerate, UsageError for fp16 without a GPU, EnvironmentProblem for a launcher that started
    fewer processes than it was asked for.
    """
    if importlib.util.find_spec("accelerate") is None:
        raise MissingExtra.of("accelerate", "train", "fine-tuning")
    if recipe.fp16 and best_device() == "cpu":
        raise UsageError("fp16 training needs a GPU", why="there is none here", next_step="use --bf16, or neither")
    check_launch()


@contextmanager
def accelerator_for(recipe: Recipe) -> Iterator[Any]:
    """Yield an ``accelerate.Accelerator`` with the recipe's precision, on the GPU if there is one.

    In a process that a launcher started it joins the other processes. Accelerate keeps its settings in process-wide
    state. What this run put there is removed at the end, so that the next run may use another precision; an
    Accelerator of the caller's own is left alone.

    Raises MissingExtra without accelerate, EnvironmentProblem when fewer processes run than were asked for, and
    UsageError for fp16 on a CPU and when an Accelerator of the caller has other settings.
    """
    check_can_train(recipe)
    from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs
    from accelerate.state import AcceleratorState, PartialState

    had_settings, had_processes = bool(AcceleratorState._shared_state), bool(PartialState._shared_state)
    handlers: list[Any] = [DistributedDataParallelKwargs(find_unused_parameters=True)]
    if not had_processes:
        handlers.append(InitProcessGroupKwargs(timeout=PATIENCE))
    try:
        accelerator = Accelerator(
            mixed_precision=recipe.mixed_precision, cpu=best_device() == "cpu", kwargs_handlers=handlers
        )
    except ValueError as error:
        raise UsageError(
            f"cannot set up training with mixed precision {recipe.mixed_precision!r}",
            why=str(error),
            next_step="use the settings of the Accelerator that this process has, or drop --bf16 and --fp16",
        ) from error
    try:
        check_launch(found=accelerator.num_processes)
        _check_sharding(accelerator)
        yield accelerator
    finally:
        if not had_settings:
            accelerator.free_memory()
            AcceleratorState._reset_state(reset_partial_state=not had_processes)


def _check_sharding(accelerator: Any) -> None:
    """Raise UsageError for DeepSpeed, and when the launcher asks for FSDP and Accelerate silently does without it."""
    if accelerator.distributed_type.value == "DEEPSPEED":
        raise UsageError(
            "the accelerate configuration asks for DeepSpeed, which gelu-patch train does not support",
            why="DeepSpeed takes over gradients, clipping and the optimizer, and with them exact resuming and the "
            "evidence by layer",
            next_step="use FSDP2 (examples/configs/fsdp2.yaml), or transformers.Trainer with DeepSpeed and "
            "gelu_patch.integrations.trainer.StabilityCallback",
        )
    wanted = os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"
    if wanted and accelerator.distributed_type.value != "FSDP":
        raise UsageError(
            "the accelerate configuration asks for FSDP, and Accelerate does not use it here",
            why=f"it runs as {accelerator.distributed_type.value}: it shards models on GPUs only",
            next_step="start without the FSDP configuration, or where there are GPUs",
        )
