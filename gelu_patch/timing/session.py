"""A measurement from beginning to end: several timing processes, then memory and energy in processes of their own."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gelu_patch.energy import NoEnergy, find_reader
from gelu_patch.environment import fingerprint, heat_events
from gelu_patch.reporting.comparing.states import control_holds
from gelu_patch.reporting.schema import Energy, Memory, Subject
from gelu_patch.reporting.storage.timings import STOCK, Cell
from gelu_patch.timing.analysis import control_of
from gelu_patch.timing.failures import out_of_memory
from gelu_patch.timing.job import Job
from gelu_patch.timing.processes import Answer, ProcessDied, run_in_process
from gelu_patch.timing.tasks import Describe, EnergyOfArms, Entering, Pairs, PeakMemory, Task, Timing

# Called with what is done now, and how many processes have finished of how many.
OnProgress = Callable[[str, int, int], None]
Execute = Callable[..., Any]  # called like ``run_in_process``

MORE_PROCESSES = 3  # rounds of processes, the first among them, while the A/A control does not hold


@dataclass
class Measurements:
    """What was measured, as far as it came. ``timings[cell][k]`` are the seconds of process k, by arm."""

    timings: dict[Cell, list[dict[str, list[float]]]] = field(default_factory=dict)
    warmup: dict[Cell, int] = field(default_factory=dict)
    n_sites: int = 0
    environment: Mapping[str, object] = field(default_factory=fingerprint)
    memory: dict[str, list[Memory]] = field(default_factory=dict)
    limit_memory: list[Memory] = field(default_factory=list)
    energy: dict[str, Energy] = field(default_factory=dict)
    subjects: dict[str, Subject] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    interrupted: bool = False

    @property
    def cells(self) -> list[Cell]:
        """The cells of which something was timed, in order."""
        return sorted(cell for cell, processes in self.timings.items() if processes)


class Session:
    """Runs the processes of one job, one after the other, and keeps what each has sent.

    ``execute`` runs a task in a process of its own. Without ``fresh`` everything happens in this process, and there are
    no peaks of memory.
    """

    def __init__(
        self,
        job: Job,
        *,
        describe: Describe | None = None,
        on_progress: OnProgress = lambda what, done, planned: None,
        fresh: bool = True,
        execute: Execute = run_in_process,
    ) -> None:
        self.job = job
        self.describe = describe
        self.on_progress = on_progress
        self.fresh = fresh
        self.execute = execute
        self.found = Measurements()
        self._place: Entering | None = None
        self._seconds: dict[Cell, float] = {}
        self._finished = 0  # of the processes that are planned

    def run(self) -> Measurements:
        """Measure all of it. Ctrl-C ends it early: what was measured is in ``found``, which says ``interrupted``.

        Raises what a process raises; NotSendable when the job cannot leave this process.
        """
        heat = heat_events()
        try:
            self._time()
            self._measure_memory()
            self._measure_energy()
        except KeyboardInterrupt:
            self.found.interrupted = True
        self._note_heat(heat)
        return self.found

    def _note_heat(self, before: int | None) -> None:
        after = heat_events()
        if before is None or after is None or self.job.device not in (None, "cpu"):
            return  # not known: nobody counts it, or it was not the processor that was timed
        self.found.environment = {**self.found.environment, "throttled": after > before}
        if after > before:
            self.found.warnings.append(
                "the processor slowed down for heat while it was measured: ratios hold by their A/A control, "
                "single times are those of a hot machine"
            )

    # -- time

    def _time(self) -> None:
        for number in range(self.job.processes):
            self._timing_process(Timing(self.job, number))
        more = range(self.job.processes, MORE_PROCESSES * self.job.processes) if self.fresh else ()
        for number in more:
            open_cells = tuple(cell for cell in self.found.cells if not self._settled(cell))
            if not open_cells:
                return
            self._timing_process(Timing(self.job, number, open_cells))

    def _settled(self, cell: Cell) -> bool:
        """Whether the A/A control of the cell holds, or less than half of a process's share of its time is left."""
        late = self._seconds[cell] + self.job.max_seconds / (2 * self.job.processes) > self.job.max_seconds
        return late or control_holds(control_of(self.found.timings[cell], self.job.seed), self.job.margin)

    def _timing_process(self, task: Timing) -> None:
        mine: dict[Cell, dict[str, list[float]]] = {}

        def receive(message: object) -> None:
            if isinstance(message, Entering):
                self._place = message
                mine[message.cell] = {}
            elif isinstance(message, Pairs):
                for arm, seconds in message.seconds.items():
                    mine[message.cell].setdefault(arm, []).extend(seconds)
                    self._seconds[message.cell] = self._seconds.get(message.cell, 0.0) + sum(seconds)
                self._show(f"process {task.number + 1}, {message.cell}, {message.done} pairs")

        try:
            result = self._execute(task, receive)
        finally:
            # Also of a process that was stopped: whole chunks of pairs are in here.
            for cell, seconds in mine.items():
                if seconds:
                    self.found.timings.setdefault(cell, []).append(seconds)
        self.found.warmup.update(result.warmup)
        self.found.n_sites = result.n_sites
        self.found.environment = result.environment
        self._finished += 1

    # -- memory and energy

    def _measure_memory(self) -> None:
        arms = (STOCK, *self.job.targets)
        for arm in arms:
            self._show(f"memory, {arm}")
            entries, limits, subject = self._execute(PeakMemory(self.job, arm, self.describe, self.fresh), self._enter)
            self.found.memory[arm] = entries
            self.found.limit_memory += limits
            if subject is not None:
                self.found.subjects[arm] = subject
            self._finished += 1

    def _measure_energy(self) -> None:
        reader = find_reader(self.job.device or "cpu")
        if isinstance(reader, NoEnergy):
            self.found.energy = dict.fromkeys((STOCK, *self.job.targets), Energy(why_null=reader.reason))
            return
        cell = max(self.found.cells, key=lambda each: each.shape[0] * each.shape[1])
        self._show("energy")
        self.found.energy = self._execute(EnergyOfArms(self.job, cell), self._enter)

    def _show(self, what: str) -> None:
        planned = self.job.processes + 1 + len(self.job.targets)
        self.on_progress(what, self._finished, max(planned, self._finished))

    def _enter(self, message: object) -> None:
        if isinstance(message, Entering):
            self._place = message

    def _execute(self, task: Task[Answer], receive: Callable[[object], None]) -> Answer:
        if not self.fresh:
            return task.run(receive)
        threads = self.job.threads
        variables = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
        try:
            answer: Answer = self.execute(task, receive, variables=variables)
            return answer
        except ProcessDied as error:
            if self._place is not None and f"signal {int(signal.SIGKILL)}" in error.what:
                why = "the system ended the measuring process (signal 9), as it does when memory runs out"
                raise out_of_memory(self._place.cell, self._place.arm, why) from error
            raise
