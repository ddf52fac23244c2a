"""What one fresh process does: time all arms, measure the memory of one, or measure energy."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

from torch import nn

from gelu_patch.energy import NoEnergy, find_reader
from gelu_patch.environment import fingerprint
from gelu_patch.patching.shells import shell_of
from gelu_patch.reporting.schema import Energy, Memory, Subject
from gelu_patch.reporting.storage.timings import CONTROL, LIMIT, STOCK, Cell
from gelu_patch.timing.arms import allow_compiled_graphs, arms_of, without_activations
from gelu_patch.timing.devices import synchronize
from gelu_patch.timing.failures import explained
from gelu_patch.timing.job import Job, device_of
from gelu_patch.timing.latency import Run, measure_interleaved
from gelu_patch.timing.peak import measure_memory
from gelu_patch.timing.workloads import runner

Describe = Callable[[nn.Module], Subject]
Send = Callable[[Any], None]


Answer = TypeVar("Answer", covariant=True)


class Task(Protocol[Answer]):
    """Something for a fresh process: it is pickled, run there, and its messages come back one by one."""

    def run(self, send: Send) -> Answer:
        """Do it and return the result; ``send`` what is finished meanwhile."""


@dataclass(frozen=True)
class Entering:
    """A process begins to measure ``cell``."""

    cell: Cell
    arm: str = STOCK


@dataclass(frozen=True)
class Pairs:
    """The seconds of a few more pairs of ``cell``, by arm, and how many pairs that makes."""

    cell: Cell
    seconds: Mapping[str, list[float]]
    done: int


@dataclass(frozen=True)
class Conditions:
    """What a timing process says about itself at its end."""

    warmup: Mapping[Cell, int] = field(default_factory=dict)
    n_sites: int = 0
    environment: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Timing:
    """Time every arm of ``job`` in every cell, or only in ``cells``; ``number`` is which process this is."""

    job: Job
    number: int = 0
    cells: tuple[Cell, ...] | None = None

    def run(self, send: Send) -> Conditions:
        """Build the arms and the order of the cells in an order of this process, then measure."""
        job, order = self.job, random.Random(f"{self.job.seed}/{self.number}")
        model = job.model()
        cells = list(self.cells or job.cells(model))
        arms, n_sites = all_arms(model, job, order)
        allow_compiled_graphs(2 * len(arms) * len(cells))
        order.shuffle(cells)
        warmup = {}
        for cell in cells:
            send(Entering(cell))
            runs = runs_of(arms, job, model, cell)
            warmup[cell] = measure_interleaved(
                runs,
                baseline=STOCK,
                control=CONTROL,
                effort=job.effort,
                seed=order.randrange(2**32),
                synchronize=partial(synchronize, device_of(model)),
                on_pairs=partial(_send_pairs, send, cell),
            ).warmup
        return Conditions(warmup, n_sites, fingerprint())


def _send_pairs(send: Send, cell: Cell, seconds: Mapping[str, list[float]], done: int) -> None:
    send(Pairs(cell, seconds, done))


def all_arms(model: nn.Module, job: Job, order: random.Random) -> tuple[dict[str, nn.Module], int]:
    """Return the shells of all arms with the controls, and the number of sites. Raises what building them raises."""
    # The limit first: a model without GELU is told so, whatever the targets are.
    limit, n_sites = without_activations(model)
    arms = arms_of(model, job.targets, memory=job.memory, compiled=job.compiled, shuffled=order)
    return arms | {CONTROL: shell_of(model), LIMIT: limit}, n_sites


def runs_of(arms: Mapping[str, nn.Module], job: Job, model: nn.Module, cell: Cell) -> dict[str, Run]:
    """Return what is timed, each run once, so that what cannot run is known (and compiled) before the clock runs."""
    inputs = job.inputs_for(model, cell.shape)
    runs = {
        arm: runner(module, inputs, cell.phase, new_tokens=job.new_tokens)  # type: ignore[arg-type]
        for arm, module in arms.items()
        # Compiled graphs have one length; generation has another at every token.
        if not (cell.phase == "generate" and is_compiled(module))
    }
    for arm, run in runs.items():
        with explained(cell, arm):
            run()
    return runs


def is_compiled(module: nn.Module) -> bool:
    """Tell whether ``nn.Module.compile`` was called on it."""
    return module._compiled_call_impl is not None


@dataclass(frozen=True)
class PeakMemory:
    """Measure the memory of one arm, and describe it. ``alone``: nothing else runs in its process."""

    job: Job
    arm: str
    describe: Describe | None = None
    alone: bool = True

    def run(self, send: Send) -> tuple[list[Memory], list[Memory], Subject | None]:
        """Return the memory of the arm, for stock also of the limit, and the subject."""
        return measure_memory(
            self.job, self.arm, self.describe, lambda cell: send(Entering(cell, self.arm)), alone=self.alone
        )


@dataclass(frozen=True)
class EnergyOfArms:
    """Energy of all arms at one cell, in blocks of random order."""

    job: Job
    cell: Cell
    rounds: int = 5
    block_seconds: float = 1.0

    def run(self, send: Send) -> dict[str, Energy]:
        """Return the energy by arm, also when it is only the reason why there is none."""
        job, order = self.job, random.Random(self.job.seed)
        model = job.model()
        device = device_of(model)
        reader = find_reader(str(device))
        if isinstance(reader, NoEnergy):
            return dict.fromkeys((STOCK, *job.targets), Energy(why_null=reader.reason))
        arms = arms_of(model, job.targets, memory=job.memory)
        send(Entering(self.cell))
        runs = runs_of(arms, job, model, self.cell)
        used = dict.fromkeys(runs, (0.0, 0.0, 0))
        names = list(runs)
        for _ in range(self.rounds):
            order.shuffle(names)
            for arm in names:
                joule, seconds, count = used[arm]
                synchronize(device)
                energy, started = reader.joules(), time.perf_counter()
                while time.perf_counter() - started < self.block_seconds:
                    runs[arm]()
                    synchronize(device)
                    count += self.cell.shape[0]
                used[arm] = joule + reader.joules() - energy, seconds + time.perf_counter() - started, count
        return {arm: self._entry(reader.source, *each) for arm, each in used.items()}

    def _entry(self, source: str, joule: float, seconds: float, n_samples: int) -> Energy:
        place = {"shape": self.cell.shape, "phase": self.cell.phase}
        if joule <= 0:
            return Energy(why_null=f"{source}: the counter did not move in {seconds:.0f} s", **place)
        return Energy(
            joule_per_1k_samples=1000 * joule / n_samples,
            source=source,
            why_null=None,
            joule=joule,
            seconds=seconds,
            n_samples=n_samples,
            **place,
        )
