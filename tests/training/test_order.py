"""The data order is a pure function of the seed, and every example occurs once per epoch."""

from __future__ import annotations

import numpy as np
import pytest

from gelu_patch.training.order import all_steps, epoch_steps, micro_batches

from .toy import recipe

LENGTHS = np.random.default_rng(0).integers(1, 60, size=1003).tolist()


@pytest.mark.parametrize("grouped", [False, True])
def test_every_example_once_per_epoch(grouped: bool) -> None:
    steps = epoch_steps(LENGTHS, recipe(group_by_length=grouped), 0)
    assert sorted(i for step in steps for i in step) == list(range(1003))
    assert sorted(map(len, steps)) == [3] + [8] * 125


@pytest.mark.parametrize("grouped", [False, True])
def test_seed_and_epoch_change_the_order_and_nothing_else_does(grouped: bool) -> None:
    base = recipe(group_by_length=grouped)
    orders = [
        epoch_steps(LENGTHS, base, 0),
        epoch_steps(LENGTHS, base, 1),
        epoch_steps(LENGTHS, recipe(group_by_length=grouped, seed=1), 0),
    ]
    assert all(a != b for i, a in enumerate(orders) for b in orders[:i])
    other = recipe(group_by_length=grouped, learning_rate=0.5, num_train_epochs=7, bf16=True)
    assert epoch_steps(LENGTHS, other, 0) == orders[0]


def test_grouping_saves_padding_and_still_mixes() -> None:
    def padded(grouped: bool) -> int:
        steps = epoch_steps(LENGTHS, recipe(group_by_length=grouped), 0)
        return sum(len(step) * max(LENGTHS[i] for i in step) for step in steps)

    assert padded(True) < 1.15 * sum(LENGTHS) < 1.5 * sum(LENGTHS) < padded(False)
    longest = [max(LENGTHS[i] for i in step) for step in epoch_steps(LENGTHS, recipe(group_by_length=True), 0)]
    assert abs(np.corrcoef(longest, range(len(longest)))[0, 1]) < 0.3


@pytest.mark.parametrize("grouped", [False, True])
def test_accumulation_cuts_the_same_steps(grouped: bool) -> None:
    whole = recipe(group_by_length=grouped)
    cut = recipe(group_by_length=grouped, per_device_train_batch_size=4, gradient_accumulation_steps=2)
    assert epoch_steps(LENGTHS, whole, 0) == epoch_steps(LENGTHS, cut, 0)
    last = list(all_steps(LENGTHS, cut))[-1]
    assert [i for part in micro_batches(last, cut) for i in part.indices] == last.indices


def test_epochs_are_counted_and_their_ends_marked() -> None:
    steps = list(all_steps([1] * 20, recipe(max_train_steps=7)))
    assert [round(step.epoch, 3) for step in steps] == [0.333, 0.667, 1.0, 1.333, 1.667, 2.0, 2.333]
    assert [step.ends_epoch for step in steps] == [False, False, True, False, False, True, True]
    assert steps[0].indices != steps[3].indices


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("n", [20, 17, 9, 1])
def test_processes_share_the_micro_batches_of_one(processes: int, n: int) -> None:
    """In turn, so that together they do what one process does; with as many each, because they wait for each other."""
    alone = recipe(per_device_train_batch_size=4, gradient_accumulation_steps=processes)
    shared = recipe(per_device_train_batch_size=4)
    for one, many in zip(all_steps([1] * n, alone), all_steps([1] * n, shared, processes=processes), strict=True):
        assert one == many
        parts = [micro_batches(many, shared, rank=rank, processes=processes) for rank in range(processes)]
        assert len({len(part) for part in parts}) == 1
        together = [batch for row in zip(*parts, strict=True) for batch in row]
        assert [batch for batch in together if batch.share] == micro_batches(one, alone)
        assert [batch.number for batch in together] == list(range(len(together)))
        assert sum(batch.share for batch in together) == pytest.approx(1)


def test_a_run_that_goes_on_has_the_rest_of_the_steps() -> None:
    steps = list(all_steps(LENGTHS, recipe()))
    for start in (0, 1, len(steps) // 2, len(steps) - 1, len(steps)):
        assert list(all_steps(LENGTHS, recipe(), start=start)) == steps[start:]
