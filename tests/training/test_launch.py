"""A launcher that starts fewer processes than it was asked for is found out."""

from __future__ import annotations

import pytest

from gelu_patch.errors import EnvironmentProblem, ExitCode
from gelu_patch.training import launch
from gelu_patch.training.launch import asked_for, check_launch

# What accelerate 1.15 sets for `accelerate launch --cpu --num_processes 2`: an address to meet, and no number.
LAUNCHED = {"ACCELERATE_MIXED_PRECISION": "no", "ACCELERATE_USE_CPU": "True", "MASTER_PORT": "29500"}
ALONE = {**LAUNCHED, "MASTER_ADDR": "127.0.0.1"}


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch):
    monkeypatch.setattr(launch, "_launched", lambda: None)


def refused(**given) -> EnvironmentProblem:
    with pytest.raises(EnvironmentProblem) as caught:
        check_launch(**given)
    assert caught.value.exit_code == ExitCode.ENVIRONMENT
    return caught.value


def test_one_process_where_several_were_asked_for():
    error = refused(environment=ALONE)
    assert error.what == "several processes were asked for and 1 runs"
    assert "--cpu, starts one process" in error.why
    assert "torchrun --nproc_per_node N" in error.next_step


def test_the_number_on_the_launchers_command_line_counts(monkeypatch):
    monkeypatch.setattr(launch, "_launched", lambda: 2)
    error = refused(environment=LAUNCHED)
    assert (error.what, error.where) == ("2 processes were asked for and 1 runs", "the launcher's command line")
    assert "torchrun --nproc_per_node 2" in error.next_step
    check_launch(environment={**ALONE, "WORLD_SIZE": "2"})


@pytest.mark.parametrize(
    "environment",
    [
        {},
        LAUNCHED,
        {**ALONE, "WORLD_SIZE": "2"},
        {**ALONE, "WORLD_SIZE": "1"},
        {**ALONE, "OMPI_COMM_WORLD_SIZE": "2"},
        {"MASTER_ADDR": "somewhere"},
    ],
)
def test_other_launches_are_fine(environment):
    check_launch(environment=environment)


def test_the_number_that_the_command_itself_was_told():
    check_launch(asked=2, environment={"WORLD_SIZE": "2"})
    error = refused(asked=3, environment={"WORLD_SIZE": "2"})
    assert (error.what, error.where) == ("3 processes were asked for and 2 run", "--num_processes of this command")
    error = refused(asked=1, environment={"WORLD_SIZE": "2"})
    assert (error.what, error.next_step) == ("1 process was asked for and 2 run", "start it without a launcher")


@pytest.mark.parametrize("size", ["WORLD_SIZE", "PMI_SIZE"])
def test_processes_that_did_not_find_each_other(size):
    check_launch(found=4, environment={size: "4"})
    error = refused(found=1, environment={size: "4"})
    assert error.what == "4 processes were asked for and 1 runs"
    assert "did not find each other" in error.why


@pytest.mark.parametrize(
    ("command", "number"),
    [
        ("accelerate launch --num_processes 2 -m x", 2),
        ("/usr/bin/python /opt/bin/accelerate launch --num-processes=4 -m x", 4),
        ("python -m accelerate.commands.launch --num_processes 2 x", 2),
        ("accelerate launch -m x", None),
        ("accelerate launch --num_processes", None),
        ("torchrun --nproc_per_node=2 x", None),  # of one host of perhaps several; its WORLD_SIZE is right
        ("python accelerate-study/sweep.py --num_processes 4", None),
    ],
)
def test_what_a_launcher_was_asked_for(command, number):
    assert asked_for(command.split()) == number
