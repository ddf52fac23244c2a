"""A full report with every section, made once."""

from __future__ import annotations

import pytest

from gelu_patch.reporting.compare import compare_runs, comparison_report
from gelu_patch.reporting.schema import Check, Report
from tests.reporting import made_up
from tests.reporting.made_up import MadeUpRun


def full_runs() -> list[MadeUpRun]:
    """Return a trained baseline with a good swap, a bad swap, and a retrained candidate."""
    base, fused = made_up.run(seeds=2), made_up.run("gelu_fused", noise=1e-6)
    relu, trained = made_up.run("relu", b=140, c=30, noise=0.2), made_up.run("relu", seeds=2, weights="w1", noise=1e-3)
    trained.report.title = "relu retrained"
    base.report.latency, base.report.memory = [made_up.latency()], [made_up.memory(64 << 20)]
    fused.report.latency, fused.report.memory = [made_up.latency(0.95)], [made_up.memory(48 << 20)]
    relu.report.latency, relu.report.memory = [made_up.latency(1.05)], [made_up.memory(70 << 20)]
    return [base, fused, relu, trained]


def report_of(runs: list[MadeUpRun], title: str = "three swaps") -> Report:
    """Return the report of the first run against every other."""
    comparisons = [compare_runs(runs[0], run) for run in runs[1:]]
    found = comparison_report(title, runs, comparisons, command=["gelu-patch", "compare"], notes=["Made up."])
    found.checks = [Check(name="undo", passed=True, measured="bit-equal", bar="bit-equal")]
    return found


@pytest.fixture(scope="session")
def full_report() -> Report:
    return report_of(full_runs())
