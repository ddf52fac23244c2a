"""What a comparison reads from a run, and what it copies into its own report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from gelu_patch.reporting.schema import Arm, CurvePoint, Latency, Report, Subject, Training
from gelu_patch.reporting.series import quantiles
from gelu_patch.reporting.storage.predictions import Predictions
from gelu_patch.reporting.storage.run_folder import COMPARE, REPORT, RunFolder

CURVE_POINTS = 400  # of an arm, over all its seeds
FEWEST_POINTS = 50  # of a seed


class Run(Protocol):
    """Anything that holds one arm's report and predictions: a RunFolder, or a result still in memory."""

    @property
    def report(self) -> Report:
        """The report of the run."""

    @property
    def predictions(self) -> Predictions:
        """The per-example predictions of the run."""


@dataclass(frozen=True)
class SeedRuns:
    """One arm that was trained with several seeds: one run each. It stands for its first run where one is asked for."""

    runs: Sequence[Run]
    path: Path | None = None

    @cached_property
    def report(self) -> Report:
        """The report of the first run, with the training curves of all."""
        first, trained = self.runs[0].report, [run.report.training for run in self.runs]
        per_seed = [each for training in trained if training for each in training.per_seed]
        if not per_seed or first.training is None:
            return first
        return first.model_copy(update={"training": first.training.model_copy(update={"per_seed": per_seed})})

    @property
    def predictions(self) -> Predictions:
        """The predictions of the first run."""
        return self.runs[0].predictions


def open_arm(path: str | Path) -> Run:
    """Open a run folder, or an arm of several seeds: a directory of run folders, or a pattern such as ``runs/stock-*``.

    Raises DataNotFound when there is no run.
    """
    path = Path(path)
    if RunFolder(path).has_report or path.name == REPORT:
        run = RunFolder.open(path)
        seeds = seed_folders(run)
        return SeedRuns([RunFolder.open(each) for each in seeds], path) if seeds else run
    if path.is_dir():
        found = sorted(each.parent for each in path.glob(f"*/{REPORT}") if each.parent.name != COMPARE)
    elif any(mark in path.as_posix() for mark in "*?["):
        folders = Path(path.anchor or ".").glob(path.relative_to(path.anchor).as_posix())
        found = sorted(each for each in folders if RunFolder(each).has_report)
    else:
        found = []
    if len(found) > 1:
        return SeedRuns([RunFolder.open(each) for each in found], path)
    return RunFolder.open(found[0] if found else path)


def seed_folders(run: RunFolder) -> list[Path]:
    """Return the run folders of the seeds that a report joins; none for a report of a single run."""
    training = run.report.training
    if training is None or len(training.per_seed) < 2:
        return []
    return [run.path / name for name in run.report.files if RunFolder(run.path / name).has_report]


def runs_of(run: Run) -> Sequence[Run]:
    """Return the runs of an arm, one per seed."""
    return run.runs if isinstance(run, SeedRuns) else [run]


def seed_of(run: Run) -> int | None:
    """Return which seed trained the model of a run, where it says."""
    report = run.report
    if report.training and len(report.training.per_seed) == 1:
        return report.training.per_seed[0].seed
    return report.protocol.seed if report.protocol else None


def run_label(run: Run) -> str:
    """Return how to find the run again: its folder as it was given, or its run id."""
    path = getattr(run, "path", None)
    return path.as_posix() if isinstance(path, Path) else run.report.run_id


def arm_names(reports: Sequence[Report]) -> list[str]:
    """Return one name per arm: the patch target, or the title where two arms share a target."""
    targets = [report.subject.patch.target if report.subject else report.run_id for report in reports]
    shared = Counter(targets)
    names = [
        report.title if shared[target] > 1 and report.title else target
        for report, target in zip(reports, targets, strict=True)
    ]
    seen: Counter[str] = Counter()
    for position, name in enumerate(names):
        seen[name] += 1
        if seen[name] > 1:
            names[position] = f"{name} ({seen[name]})"
    return names


def arm_of(run: Run, name: str) -> Arm:
    """Copy what the comparison report needs of this run, with thinned training curves."""
    report = run.report
    return Arm(
        name=name,
        run=run_label(run),
        tool=report.tool,
        subject=report.subject or Subject(model=report.run_id),
        quality=report.quality,
        training=_thinned(report.training),
        latency=[_few_times(entry) for entry in report.latency],
        memory=report.memory,
        energy=report.energy if report.latency else None,
    )


def _few_times(entry: Latency) -> Latency:
    """Replace single times, which older runs have in their report, by their quantiles."""
    if not entry.values:
        return entry
    return entry.model_copy(update={"values": [], "quantiles": entry.quantiles or quantiles(entry.values)})


def _thinned(training: Training | None) -> Training | None:
    if training is None:
        return None
    points = max(CURVE_POINTS // max(len(training.per_seed), 1), FEWEST_POINTS)
    runs = [run.model_copy(update={"curve": _thin(run.curve, points)}) for run in training.per_seed]
    return training.model_copy(update={"per_seed": runs})


def _thin(curve: list[CurvePoint], points: int) -> list[CurvePoint]:
    """Keep the first, the last and evenly spaced points between them."""
    if len(curve) <= points:
        return curve
    kept = np.linspace(0, len(curve) - 1, points).round().astype(int)
    return [curve[i] for i in kept]
