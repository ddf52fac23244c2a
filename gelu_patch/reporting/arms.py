"""What a comparison reads from a run, and what it copies into its own report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from gelu_patch.reporting.predictions import Predictions
from gelu_patch.reporting.run_folder import RunFolder
from gelu_patch.reporting.schema import Arm, CurvePoint, Latency, Report, Subject, Training
from gelu_patch.reporting.series import quantiles

CURVE_POINTS = 400


class Run(Protocol):
    """Anything that holds one arm's report and predictions: a RunFolder, or a result still in memory."""

    @property
    def report(self) -> Report:
        """The report of the run."""

    @property
    def predictions(self) -> Predictions:
        """The per-example predictions of the run."""


def run_label(run: Run) -> str:
    """Return how to find the run again: its folder as it was given, or its run id."""
    return run.path.as_posix() if isinstance(run, RunFolder) else run.report.run_id


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
        energy=report.energy,
    )


def _few_times(entry: Latency) -> Latency:
    """Replace single times, which older runs have in their report, by their quantiles."""
    if not entry.values:
        return entry
    return entry.model_copy(update={"values": [], "quantiles": entry.quantiles or quantiles(entry.values)})


def _thinned(training: Training | None) -> Training | None:
    if training is None:
        return None
    runs = [run.model_copy(update={"curve": _thin(run.curve)}) for run in training.per_seed]
    return training.model_copy(update={"per_seed": runs})


def _thin(curve: list[CurvePoint]) -> list[CurvePoint]:
    """Keep the first, the last and evenly spaced points between them."""
    if len(curve) <= CURVE_POINTS:
        return curve
    kept = np.linspace(0, len(curve) - 1, CURVE_POINTS).round().astype(int)
    return [curve[i] for i in kept]
