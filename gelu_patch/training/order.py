"""The order of the training data: a pure function of the seed, so that every arm sees the same batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gelu_patch.training.recipe import Recipe

# Sorting within this many batches keeps padding small and still mixes the data well.
BATCHES_PER_SORTED_CHUNK = 50


def epoch_steps(lengths: Sequence[int], recipe: Recipe, epoch: int) -> list[list[int]]:
    """Return the examples of each optimizer step of one epoch (the first is 0); every example occurs once.

    With ``group_by_length`` the shuffled data is cut into chunks of 50 steps, each chunk is sorted by length,
    cut into steps, and the steps are shuffled.
    """
    rng = np.random.default_rng([recipe.seed, epoch])
    order = rng.permutation(len(lengths))
    if not recipe.group_by_length:
        return _cut(order.tolist(), recipe.step_batch_size)
    chunks = _cut(order.tolist(), recipe.step_batch_size * BATCHES_PER_SORTED_CHUNK)
    steps = [step for chunk in chunks for step in _cut(sorted(chunk, key=lambda i: lengths[i]), recipe.step_batch_size)]
    return [steps[i] for i in rng.permutation(len(steps))]


@dataclass(frozen=True)
class Step:
    """The examples of one optimizer step. ``epoch`` is the number of passes done after it, such as 1.25.

    ``ends_epoch`` is true at the end of each pass, and of the run.
    """

    indices: list[int]
    epoch: float
    ends_epoch: bool


def all_steps(lengths: Sequence[int], recipe: Recipe) -> Iterator[Step]:
    """Yield every optimizer step of the run, in order."""
    per_epoch, total = recipe.steps_per_epoch(len(lengths)), recipe.total_steps(len(lengths))
    for number in range(total):
        epoch, position = divmod(number, per_epoch)
        if position == 0:
            steps = epoch_steps(lengths, recipe, epoch)
        yield Step(
            indices=steps[position],
            epoch=epoch + (position + 1) / per_epoch,
            ends_epoch=number + 1 in (total, (epoch + 1) * per_epoch),
        )


def micro_batches(step: Step, recipe: Recipe) -> list[list[int]]:
    """Cut the examples of one optimizer step into the batches that are run one after another."""
    return _cut(step.indices, recipe.per_device_train_batch_size)


def _cut(items: list[int], size: int) -> list[list[int]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
