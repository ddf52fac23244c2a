"""A machine that only the test's clock knows: noise, drift, spikes and processes that differ, all from one seed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from torch import nn

from gelu_patch.reporting.storage.timings import CONTROL, LIMIT, STOCK, Cell
from gelu_patch.timing.job import Job
from gelu_patch.timing.latency import measure_interleaved
from gelu_patch.timing.session import Measurements, Session
from gelu_patch.timing.tasks import Conditions, Entering, Pairs, PeakMemory, Timing

CELL = Cell((8, 128), "forward")


@dataclass
class Machine:
    """Seconds of a call = the arm's x the process's layout x the machine's mood x noise, and now and then a spike.

    ``mood`` wanders (autocorrelated); ``layout`` is the spread between the processes of one arm; ``wear`` makes every
    call slower than the one before. ``biased`` makes the control slower than the baseline that it is.
    """

    seconds: Mapping[str, float]
    seed: int = 0
    noise: float = 0.03
    mood: float = 0.01
    spikes: float = 0.03
    layout: float = 0.003
    wear: float = 0.0
    biased: float = 1.0
    now: float = 0.0
    log: list[str] = field(default_factory=list)
    processes: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(f"machine {self.seed}")
        self._mood, self._worn = 0.0, 1.0

    def clock(self) -> float:
        return self.now

    def call(self, arm: str, seconds: float) -> None:
        self._mood = 0.98 * self._mood + self.random.gauss(0, self.mood)
        self._worn *= 1 + self.wear
        factor = self.random.lognormvariate(self._mood, self.noise) * self._worn
        if self.random.random() < self.spikes:
            factor *= self.random.uniform(1.5, 5)
        self.now += seconds * factor
        self.log.append(arm)

    def arms(self) -> dict[str, partial[None]]:
        """The arms of a new process: stock, targets, and the controls."""
        self.processes += 1
        stock = self.seconds[STOCK]
        every = {**self.seconds, CONTROL: stock * self.biased, LIMIT: 0.9 * stock}
        return {
            arm: partial(self.call, arm, value * self.random.lognormvariate(0, self.layout))
            for arm, value in every.items()
        }

    def execute(self, task: object, receive, *, variables: object = None) -> object:
        """Do here what a fresh process would do."""
        if isinstance(task, PeakMemory):
            return [], [], None
        assert isinstance(task, Timing)
        receive(Entering(CELL))
        measured = measure_interleaved(
            self.arms(),
            baseline=STOCK,
            control=CONTROL,
            effort=task.job.effort,
            seed=1000 * self.seed + task.number,
            clock=self.clock,
            on_pairs=lambda seconds, done: receive(Pairs(CELL, seconds, done)),
        )
        return Conditions({CELL: measured.warmup}, n_sites=4)


def job(**settings: object) -> Job:
    return Job(**{"load": nn.Identity, "targets": ("other",), "n_pairs": 60, "max_seconds": 60.0} | settings)


def session(machine: Machine, **settings: object) -> Measurements:
    """Run the complete protocol on the machine."""
    return Session(job(**settings), execute=machine.execute).run()
