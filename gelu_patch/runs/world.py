"""The processes that share an evaluation: started by torchrun or accelerate, or one alone."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import psutil
import torch.distributed as dist

from gelu_patch.environment import best_device
from gelu_patch.errors import EnvironmentProblem
from gelu_patch.training.processes import Processes

PATIENCE = timedelta(hours=12)  # one process may be much slower than another
_ASKED = re.compile(r"--(?:num[_-]processes|nproc[_-]per[_-]node)=?(\d*)$")


@dataclass(frozen=True)
class World(Processes):
    """One process among ``count``; ``local`` is its number on this machine."""

    local: int = 0

    @classmethod
    def from_environment(cls) -> World:
        """Read what the launcher set: RANK, WORLD_SIZE, LOCAL_RANK."""
        rank, count, local = (
            int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0))
        )
        return cls(rank, count, local)

    def device(self, asked: str | None) -> str:
        """Return the device of this process: ``asked``, or the best one; one GPU each."""
        device = asked or best_device()
        return f"cuda:{self.local}" if device == "cuda" and self.count > 1 else device

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Let the processes speak with each other for the length of the block."""
        if self.count == 1 or dist.is_initialized():
            yield
            return
        dist.init_process_group("gloo", rank=self.rank, world_size=self.count, timeout=PATIENCE)
        try:
            yield
        finally:
            dist.destroy_process_group()

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.count > 1:
            dist.barrier()


def check_count(running: int, asked: int | None) -> None:
    """Raise EnvironmentProblem when fewer or more processes run than were asked for.

    ``asked`` is what this program was told; what its launcher was told is read from the launcher's command line:
    ``accelerate launch --cpu --num_processes 2`` starts one process and says nothing.
    """
    for who, number in (("--num_processes of this command", asked), ("the launcher's command line", _launched())):
        if number is not None and number != running:
            raise EnvironmentProblem(
                f"{number} processes were asked for and {running} run" + ("s" if running == 1 else ""),
                where=who,
                why="accelerate launch --cpu starts one process however many it is asked for" if running == 1 else None,
                next_step=f"torchrun --nproc_per_node {number} -m gelu_patch eval ...",
            )


def _launched() -> int | None:
    try:
        parents = psutil.Process().parents()[:3]
        commands = [parent.cmdline() for parent in parents]
    except psutil.Error:
        return None
    launchers = [command for command in commands if any("accelerate" in part for part in command[:4])]
    return next((asked for command in launchers if (asked := asked_for(command)) is not None), None)


def asked_for(command: Sequence[str]) -> int | None:
    """Return the number of processes that a launcher's command line asks for, or None."""
    for part, after in zip(command, [*command[1:], ""], strict=True):
        found = _ASKED.match(part)
        number = found and (found.group(1) or after)
        if number and number.isdigit():
            return int(number)
    return None
