"""What a measurement gives back: entries of the report by arm, the report, and the run folder."""

from __future__ import annotations

import sys
import uuid
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from gelu_patch.reporting.rendering.bench_tables import bench_markdown, bench_text
from gelu_patch.reporting.schema import (
    ActivationShare,
    Arm,
    Energy,
    Environment,
    Latency,
    Memory,
    PatchSummary,
    Protocol,
    Report,
    Subject,
    Tool,
)
from gelu_patch.reporting.storage.files import write_text
from gelu_patch.reporting.storage.run_folder import MARKDOWN, RunFolder, now
from gelu_patch.reporting.storage.timings import COMPILED, STOCK, TIMINGS, Cell, write_timings
from gelu_patch.timing.analysis import activation_share, latency_entries
from gelu_patch.timing.job import Job
from gelu_patch.timing.session import Measurements


@dataclass(frozen=True)
class Benchmark:
    """Latency, memory and energy by arm; ``stock``, the first, is the baseline of every ratio. Print it to read it."""

    job: Job
    measured: Measurements

    @property
    def arms(self) -> list[str]:
        """The names of the arms, the baseline first."""
        plain = [STOCK, *self.job.targets]
        return plain + [name + COMPILED for name in plain if self.job.compiled]

    @cached_property
    def latency(self) -> dict[str, list[Latency]]:
        """One entry for each phase at each shape, by arm."""
        found: dict[str, list[Latency]] = {arm: [] for arm in self.arms}
        for cell in self.measured.cells:
            entries = latency_entries(
                cell,
                self.measured.timings[cell],
                margin=self.job.margin,
                warmup=self.measured.warmup.get(cell, 0),
                new_tokens=self.job.new_tokens,
                seed=self.job.seed,
            )
            for arm, entry in entries.items():
                found[arm].append(entry)
        return found

    @property
    def memory(self) -> dict[str, list[Memory]]:
        """Peak and saved memory by arm."""
        return {arm: self.measured.memory.get(arm, []) for arm in self.arms}

    @property
    def energy(self) -> dict[str, Energy]:
        """Energy by arm, or why there is none."""
        return {arm: self.measured.energy.get(arm, Energy()) for arm in self.arms}

    @cached_property
    def activation_share(self) -> list[ActivationShare]:
        """What the activations take of the baseline, in every cell."""
        return [
            activation_share(
                cell,
                self.measured.timings[cell],
                n_sites=self.measured.n_sites,
                saved=self._saved(cell),
                margin=self.job.margin,
                seed=self.job.seed,
            )
            for cell in self.measured.cells
        ]

    def _saved(self, cell: Cell) -> tuple[Memory, Memory] | None:
        """What stock and the limit keep for a backward pass at this shape, where that was counted."""
        both = (self.measured.memory.get(STOCK, []), self.measured.limit_memory)
        kept = [
            next((m for m in one if m.shape == cell.shape and m.saved_for_backward_bytes is not None), None)
            for one in both
        ]
        return None if kept[0] is None or kept[1] is None else (kept[0], kept[1])

    @property
    def warnings(self) -> list[str]:
        """What the reader must know beside the numbers."""
        return self.measured.warnings

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended the measurement early."""
        return self.measured.interrupted

    @property
    def summary(self) -> str:
        """What there is, in a line."""
        cells = [
            f"{cell} ({sum(len(p[STOCK]) for p in self.measured.timings[cell])} pairs)" for cell in self.measured.cells
        ]
        return ", ".join(cells) or "nothing yet"

    @cached_property
    def report(self) -> Report:
        """The report of kind "bench"; its ``arms`` stand alone."""
        first = self._subject(STOCK)
        warnings = list(self.warnings)
        if self.interrupted:
            warnings.insert(0, f"stopped early: kept are {self.summary}")
        return Report(
            kind="bench",
            run_id=uuid.uuid4().hex[:12],
            created=now(),
            title=f"{first.architecture or first.model}: {', '.join(self.job.targets)}",
            tool=Tool.here(sys.argv),
            subject=first,
            protocol=Protocol(seed=self.job.seed),
            latency=self.latency[STOCK],
            memory=self.memory[STOCK],
            energy=self.energy[STOCK],
            activation_share=self.activation_share,
            environment=Environment.model_validate(dict(self.measured.environment)),
            arms=[
                Arm(
                    name=arm,
                    run="",
                    subject=self._subject(arm),
                    latency=self.latency[arm],
                    memory=self.memory[arm],
                    energy=self.energy[arm],
                )
                for arm in self.arms
            ],
            files={"timings": TIMINGS, "markdown": MARKDOWN},
            warnings=warnings,
        )

    def _subject(self, arm: str) -> Subject:
        target = arm.removesuffix(COMPILED)
        known = self.measured.subjects.get(target)
        return known or Subject(model="live model", patch=PatchSummary(target=target))

    def save(self, path: str | Path, *, overwrite: bool = False) -> RunFolder:
        """Write ``timings.parquet``, ``report.md`` and, last, ``report.json``.

        Raises OutputExists when ``path`` holds another run and not ``overwrite``.
        """
        folder = RunFolder.create(path, overwrite=overwrite)
        write_timings(folder.path / TIMINGS, self.measured.timings)
        write_text(folder.path / MARKDOWN, bench_markdown(self.report))
        folder.write_report(self.report)
        return folder

    def __str__(self) -> str:
        return bench_text(self.report)
