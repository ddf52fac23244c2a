"""A full report with every section, made once."""

from __future__ import annotations

import pytest

from gelu_patch.reporting.comparing.arms import arm_names
from gelu_patch.reporting.comparing.compare import compare_runs, comparison_report
from gelu_patch.reporting.schema import Check, Energy, Report
from tests.reporting import made_up
from tests.reporting.made_up import MadeUpRun

SHAPES = ((1, 32), (1, 128), (8, 32), (8, 128))


def full_runs() -> list[MadeUpRun]:
    """Return a trained baseline with a good swap, a bad swap, and a retrained candidate."""
    base, fused = made_up.run(seeds=3), made_up.run("gelu_fused", noise=1e-6)
    relu, trained = made_up.run("relu", b=140, c=30, noise=0.2), made_up.run("relu", seeds=3, weights="w1", noise=1e-3)
    trained.report.training = made_up.training(3, speed=0.8)
    trained.report.title = "relu retrained"
    base.report.latency = [made_up.latency(shape=shape) for shape in SHAPES]
    for run, ratios in ((fused, (0.99, 0.95, 0.96, 0.95)), (relu, (1.05, 1.04, 1.0, 1.05))):
        run.report.latency = [made_up.latency(ratio, shape=shape) for ratio, shape in zip(ratios, SHAPES, strict=True)]
    for run, saved in ((base, 64), (fused, 48), (relu, 70)):
        run.report.memory = [made_up.memory(saved << 20)]
    base.report.activation_share = [made_up.share(shape) for shape in SHAPES[2:]]
    relu.report.energy = Energy(joule_per_1k_samples=41.5, source="rapl", why_null=None)
    return [base, fused, relu, trained]


def report_of(runs: list[MadeUpRun], title: str = "three swaps") -> Report:
    """Return the report of the first run against every other."""
    names = arm_names([run.report for run in runs])
    comparisons = [
        compare_runs(runs[0], run, title=f"{names[0]} → {name}") for run, name in zip(runs[1:], names[1:], strict=True)
    ]
    sizes = (1e-6, 0.3, 1.0)
    for comparison, size, changed in zip(comparisons, sizes, (0, 50, 3), strict=False):
        comparison.fidelity, comparison.flips = made_up.fidelity(size), made_up.flips(changed)
    found = comparison_report(title, runs, comparisons, command=["gelu-patch", "compare"], notes=["Made up."])
    found.checks = [Check(name="undo", passed=True, measured="bit-equal", bar="bit-equal")]
    return found


@pytest.fixture(scope="session")
def full_report() -> Report:
    return report_of(full_runs())
