"""The order of the training data: a pure function of the seed, so that every arm sees the same batches.

It does not depend on the number of processes either, as long as the batch of a step is as large: the micro-batches of
a step are dealt out to the processes in turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gelu_patch.training.recipe import Recipe

# Sorting within this many batches keeps padding small and still mixes the data well.
BATCHES_PER_SORTED_CHUNK = 50


def epoch_steps(lengths: Sequence[int], recipe: Recipe, epoch: int, *, processes: int = 1) -> list[list[int]]:
    """Return the examples of each optimizer step of one epoch (the first is 0); every example occurs once.

    With ``group_by_length`` the shuffled data is cut into chunks of 50 steps, each chunk is sorted by length,
    cut into steps, and the steps are shuffled.
    """
    size = recipe.step_batch_size(processes)
    rng = np.random.default_rng([recipe.seed, epoch])
    order = rng.permutation(len(lengths))
    if not recipe.group_by_length:
        return _cut(order.tolist(), size)
    chunks = _cut(order.tolist(), size * BATCHES_PER_SORTED_CHUNK)
    steps = [step for chunk in chunks for step in _cut(sorted(chunk, key=lambda i: lengths[i]), size)]
    return [steps[i] for i in rng.permutation(len(steps))]


@dataclass(frozen=True)
class Step:
    """The examples of one optimizer step, which is the ``number``-th of the run, counted from 0.

    ``epoch`` is the number of passes done after it, such as 1.25. ``ends_epoch`` is true at the end of each pass, and
    of the run.
    """

    number: int
    indices: list[int]
    epoch: float
    ends_epoch: bool


def all_steps(lengths: Sequence[int], recipe: Recipe, *, processes: int = 1, start: int = 0) -> Iterator[Step]:
    """Yield every optimizer step of the run, in order, but for the first ``start``."""
    per_epoch = recipe.steps_per_epoch(len(lengths), processes)
    total = recipe.total_steps(len(lengths), processes)
    steps: list[list[int]] = []
    for number in range(start, total):
        epoch, position = divmod(number, per_epoch)
        if position == 0 or not steps:
            steps = epoch_steps(lengths, recipe, epoch, processes=processes)
        yield Step(
            number=number,
            indices=steps[position],
            epoch=epoch + (position + 1) / per_epoch,
            ends_epoch=number + 1 in (total, (epoch + 1) * per_epoch),
        )


@dataclass(frozen=True)
class MicroBatch:
    """One forward and backward: its number in the step, over all processes, and its examples.

    ``share`` is its part of the step's examples. It is 0 for a batch that is run only because the other processes
    run one, too, and wait for each other.
    """

    number: int
    indices: list[int]
    share: float


def micro_batches(step: Step, recipe: Recipe, *, rank: int = 0, processes: int = 1) -> list[MicroBatch]:
    """Cut the examples of one optimizer step into the batches that this process runs one after another.

    Every process gets as many.
    """
    batches = _cut(step.indices, recipe.per_device_train_batch_size)
    empty = -len(batches) % processes
    filled = [MicroBatch(n, batch, len(batch) / len(step.indices)) for n, batch in enumerate(batches)]
    fillers = [MicroBatch(len(batches) + n, step.indices[:1], 0.0) for n in range(empty)]
    return (filled + fillers)[rank::processes]


def _cut(items: list[int], size: int) -> list[list[int]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
