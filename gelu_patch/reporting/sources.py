"""The report that a person means: a saved comparison, or one made from run folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

from gelu_patch.errors import UsageError
from gelu_patch.reporting.arms import arm_names, arm_of
from gelu_patch.reporting.compare import compare_runs, comparison_report
from gelu_patch.reporting.run_folder import RunFolder
from gelu_patch.reporting.schema import Report


def report_from(
    sources: Sequence[str | PathLike[str]],
    *,
    margins: Mapping[str, str] | None = None,
    title: str = "",
    command: Sequence[str] = (),
) -> Report:
    """Return the report of ``sources``: one saved comparison, one run alone, or a baseline and its candidates.

    Every source is a folder or its ``report.json``. A saved comparison is returned as it was written. Raises
    UsageError without sources or for a comparison among several, DataNotFound and DataError for what cannot be read,
    NotComparable when an arm answered other questions than the baseline.
    """
    runs = [RunFolder.open(Path(source)) for source in sources]
    if not runs:
        raise UsageError("there is nothing to report", next_step="gelu-patch report runs/stock runs/a --html")
    if len(runs) == 1:
        return _alone(runs[0])
    for run in runs:
        if run.report.comparisons:
            raise UsageError(
                f"{run.path} is a comparison, not a run",
                why="a comparison cannot be compared again",
                next_step=f"gelu-patch report {run.path}   (or give the run folders that it was made from)",
            )
    names = arm_names([run.report for run in runs])
    comparisons = [
        compare_runs(runs[0], run, margins=margins, title=f"{names[0]} → {name}")
        for run, name in zip(runs[1:], names[1:], strict=True)
    ]
    shown = title or (comparisons[0].title if len(comparisons) == 1 else f"{names[0]} → {', '.join(names[1:])}")
    return comparison_report(shown, runs, comparisons, names=names, command=command)


def _alone(run: RunFolder) -> Report:
    """Return a report that stands alone: a run without arms of its own becomes its own arm."""
    report = run.report
    if report.comparisons or report.arms:
        return report
    if report.comparison is not None:  # written by hand or by another tool, in the short form of the schema
        return report.model_copy(update={"comparisons": [report.comparison]})
    return report.model_copy(update={"arms": [arm_of(run, arm_names([report])[0])]})
