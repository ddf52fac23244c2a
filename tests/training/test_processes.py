"""A launcher that starts fewer processes than it was asked for is found out."""

from __future__ import annotations

import pytest

from gelu_patch.errors import UsageError
from gelu_patch.training.processes import Processes, check_count, check_launch

# What accelerate 1.15 sets for `accelerate launch --cpu --num_processes 2`: an address to meet, and no number.
LAUNCHED = {"ACCELERATE_MIXED_PRECISION": "no", "ACCELERATE_USE_CPU": "True", "MASTER_PORT": "29500"}
ALONE = {**LAUNCHED, "MASTER_ADDR": "127.0.0.1"}


def test_one_process_where_several_were_asked_for() -> None:
    with pytest.raises(UsageError, match="asked for several processes and started one") as caught:
        check_launch(ALONE)
    assert "torchrun" in str(caught.value.next_step)


@pytest.mark.parametrize(
    "environment",
    [{}, LAUNCHED, {**ALONE, "WORLD_SIZE": "2"}, {**ALONE, "OMPI_COMM_WORLD_SIZE": "2"}, {"MASTER_ADDR": "somewhere"}],
)
def test_other_launches_are_fine(environment: dict[str, str]) -> None:
    check_launch(environment)


def test_processes_that_did_not_find_each_other() -> None:
    check_count(2, {"WORLD_SIZE": "2"})
    check_count(1, {})
    with pytest.raises(UsageError, match="4 processes were started, and 1 found each other"):
        check_count(1, {"WORLD_SIZE": "4"})


def test_one_process_is_the_first_and_does_it_all() -> None:
    alone = Processes.here()
    assert alone.is_first
    assert alone.first_only(lambda: 5) == 5
    assert alone.all_say("yes") == ["yes"]
