"""The processes of one run, and what only the first one does."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch.distributed as dist

from gelu_patch.errors import GeluPatchError

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """The place of this process among those of the run."""

    rank: int = 0
    count: int = 1

    @classmethod
    def here(cls) -> Processes:
        """Return the place of this process in the default process group, or the only place without one."""
        if not (dist.is_available() and dist.is_initialized()):
            return cls()
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def first_only(self, do: Callable[[], T]) -> T:
        """Let the first process ``do`` something and return its result in all of them.

        What it raises is raised in all of them, so that none waits for the others for ever.
        """
        if self.count == 1:
            return do()
        outcome: list[Any] = [None, None]
        if self.is_first:
            try:
                outcome[0] = do()
            except GeluPatchError as error:
                outcome[1] = error
            except Exception as error:  # raised again below, in every process
                outcome[1] = RuntimeError(f"process 0: {type(error).__name__}: {error}")
        dist.broadcast_object_list(outcome)
        if outcome[1] is not None:
            raise outcome[1]
        result: T = outcome[0]
        return result

    def all_say(self, mine: T) -> list[T]:
        """Return what every process says, in the order of their ranks."""
        if self.count == 1:
            return [mine]
        everyone: list[Any] = [None] * self.count
        dist.all_gather_object(everyone, mine)
        return everyone


def is_first_process(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this is the process that prints; to be asked before the processes have found each other."""
    return environment.get("RANK", "0") == "0"
