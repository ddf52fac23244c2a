"""Whether as many processes run as were asked for: a launcher may start fewer, without a word."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from gelu_patch.errors import EnvironmentProblem

SEVERAL = "several"  # where nothing says how many
_SIZES = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")
_ASKED = re.compile(r"--num[_-]processes=?(\d*)$")
_LAUNCHERS = ("accelerate", "accelerate-launch", "accelerate.commands.launch")


def check_launch(
    *, asked: int | None = None, found: int | None = None, environment: Mapping[str, str] = os.environ
) -> None:
    """Raise EnvironmentProblem unless as many processes run as were asked for.

    ``asked`` is what this program was told, ``found`` how many processes have found each other, if they have tried.
    What the launcher was told is read from its command line and from the environment that it left.
    """
    running = _started(environment) if found is None else found
    for who, number in _claims(asked, environment):
        if number not in (running, SEVERAL if running > 1 else running):
            raise _problem(who, number, running, apart=found is not None and found < _started(environment))


def _problem(who: str, number: int | str, running: int, *, apart: bool) -> EnvironmentProblem:
    wanted = f"{number} process was" if number == 1 else f"{number} processes were"
    n = "N" if number == SEVERAL else number
    why = None
    if apart:
        why = "they did not find each other: each would work alone, on all of the data"
    elif running == 1:
        why = "accelerate launch without --multi_gpu, or with --cpu, starts one process however many it is asked for"
    return EnvironmentProblem(
        f"{wanted} asked for and {running} run{'s' if running == 1 else ''}",
        where=who,
        why=why,
        next_step="start it without a launcher"
        if number == 1
        else f"torchrun --nproc_per_node {n} -m gelu_patch ..., or without --cpu: ACCELERATE_USE_CPU=true accelerate "
        f"launch --multi_gpu --num_processes {n} -m gelu_patch ...",
    )


def _claims(asked: int | None, environment: Mapping[str, str]) -> Iterator[tuple[str, int | str]]:
    """Yield who says how many processes there should be."""
    if asked is not None:
        yield "--num_processes of this command", asked
    if (launched := _launched()) is not None:
        yield "the launcher's command line", launched
    yield "the launcher's environment", _started(environment)
    # `accelerate launch` for several processes sets an address to meet at; then it may start one, without a number.
    if {"MASTER_ADDR", "ACCELERATE_MIXED_PRECISION"} <= environment.keys() and not environment.keys() & {*_SIZES}:
        yield "accelerate launch", SEVERAL


def _started(environment: Mapping[str, str]) -> int:
    return next((int(environment[name]) for name in _SIZES if name in environment), 1)


def _launched() -> int | None:
    try:
        commands = [parent.cmdline() for parent in psutil.Process().parents()[:3]]
    except psutil.Error:
        return None
    return next((number for command in commands if (number := asked_for(command)) is not None), None)


def asked_for(command: Sequence[str]) -> int | None:
    """Return the number of processes that a command line of ``accelerate launch`` asks for, or None."""
    if not any(Path(part).name in _LAUNCHERS for part in command[:4]):
        return None
    for part, after in zip(command, [*command[1:], ""], strict=True):
        match = _ASKED.match(part)
        number = match and (match.group(1) or after)
        if number and number.isdigit():
            return int(number)
    return None
