"""The processes that share an evaluation: started by torchrun or accelerate, or one alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch.distributed as dist

from gelu_patch.environment import best_device
from gelu_patch.training.processes import Processes

PATIENCE = timedelta(hours=12)  # one process may be much slower than another


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
