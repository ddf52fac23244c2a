"""What one training step keeps for its backward, for the report of the run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from torch import nn

from gelu_patch.blocks.libraries import products_by_torch
from gelu_patch.reporting.schema import Memory
from gelu_patch.tasks.base import Encoded
from gelu_patch.timing.memory import saved_by
from gelu_patch.timing.peak import weights_bytes
from gelu_patch.training.order import all_steps, micro_batches
from gelu_patch.training.recipe import Recipe
from gelu_patch.training.step import Loss

PHASE = "train"


def step_memory(
    model: nn.Module,
    data: Encoded,
    recipe: Recipe,
    loss: Loss,
    *,
    processes: int = 1,
    autocast: Callable[[], AbstractContextManager[object]],
) -> Memory:
    """Return the bytes that the forward of the run's first micro-batch keeps, counted by running it again.

    It is the same batch in every arm, and after a resume. Of the first process, and of a sharded model, which comes
    here whole, as if it were not: without what sharding takes away. No peak: this process has held other things.
    """
    step = next(all_steps(list(data.lengths), recipe, processes=processes))
    batch = data.batch(micro_batches(step, recipe, processes=processes)[0].indices)
    n, length = batch["input_ids"].shape
    with products_by_torch(), autocast():
        found = saved_by(lambda: loss(model, batch), model, PHASE, (n, length))
    return found.model_copy(update={"weights_bytes": weights_bytes(model)})
