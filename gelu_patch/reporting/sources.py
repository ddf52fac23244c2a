"""The report that a person means: a saved one, one run alone, or a comparison made from run folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

from gelu_patch.errors import UsageError
from gelu_patch.reporting.comparing.arms import Run, arm_names, arm_of, open_arm, runs_of
from gelu_patch.reporting.outcome import compare
from gelu_patch.reporting.schema import Report


def report_from(
    sources: Sequence[str | PathLike[str]],
    *,
    policy: str | PathLike[str] | None = None,
    margins: Mapping[str, str] | None = None,
    bench: Path | None = None,
    title: str = "",
    command: Sequence[str] = (),
) -> Report:
    """Return the report of ``sources``: one that was saved, one run alone, or a baseline and its candidates.

    Every source is what ``compare`` takes: a folder, its ``report.json``, or a directory of one run per seed. A saved
    comparison is returned as it was written. Raises UsageError without sources or for a comparison among several, and
    whatever ``compare`` raises.
    """
    runs = [open_arm(Path(source)) for source in sources]
    if not runs:
        raise UsageError("there is nothing to report", next_step="gelu-patch report runs/stock runs/a --html")
    if len(runs) == 1:
        return _alone(runs[0])
    for source, run in zip(sources, runs, strict=True):
        if run.report.comparisons:
            raise UsageError(
                f"{source} is a comparison, not a run",
                why="a comparison cannot be compared again",
                next_step=f"gelu-patch report {source}   (or give the run folders that it was made from)",
            )
    report = compare(*runs, policy=policy, margins=margins, bench=bench, title=title, command=command).report
    names = [arm.name for arm in report.arms]
    for name, comparison in zip(names[1:], report.comparisons, strict=True):
        comparison.title = f"{names[0]} → {name}"
    report.title = title or f"{names[0]} → {', '.join(names[1:])}"
    return report


def _alone(run: Run) -> Report:
    """Return a report that stands alone: a run without arms of its own becomes its own arm."""
    report = run.report
    if report.comparisons or report.arms:
        return report
    if report.comparison is not None:  # by another tool, in the short form of the schema
        return report.model_copy(update={"comparisons": [report.comparison]})
    return report.model_copy(update={"arms": [arm_of(runs_of(run)[0], arm_names([report])[0])]})
