"""``compare``: the public verb, and what it returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from rich.console import RenderableType

from gelu_patch.errors import ExitCode, MissingExtra, UsageError
from gelu_patch.reporting.arms import Run
from gelu_patch.reporting.compare import compare_runs, comparison_report
from gelu_patch.reporting.console import comparison_text, comparison_view
from gelu_patch.reporting.files import write_text
from gelu_patch.reporting.html import html_report
from gelu_patch.reporting.markdown import markdown_report
from gelu_patch.reporting.run_folder import HTML, MARKDOWN, RunFolder
from gelu_patch.reporting.schema import Comparison, Report, VerdictName


@dataclass(frozen=True)
class Outcome:
    """A comparison and the report that holds it. Print it to read it."""

    report: Report
    comparison: Comparison

    @property
    def verdict(self) -> VerdictName:
        """SHIP, NO GAIN, DO NOT SHIP, INCONCLUSIVE, PRELIMINARY or INVALID."""
        return self.comparison.verdict

    @property
    def exit_code(self) -> ExitCode:
        """What the command line would exit with."""
        return ExitCode(self.comparison.exit_code)

    def save(self, path: str | Path, *, overwrite: bool = False) -> RunFolder:
        """Write ``report.json``, ``report.md`` and, where the extra is installed, ``report.html``.

        Raises OutputExists when ``path`` holds another run and not ``overwrite``.
        """
        folder = RunFolder.create(path, overwrite=overwrite)
        write_report_files(folder, self.report)
        return folder

    def __str__(self) -> str:
        return comparison_text(self.comparison, self.report.arms)

    def __rich__(self) -> RenderableType:
        return comparison_view(self.comparison, self.report.arms)


def compare(
    before: str | PathLike[str] | Run,
    after: str | PathLike[str] | Run,
    *,
    margins: Mapping[str, str] | None = None,
    title: str = "",
    command: Sequence[str] = (),
) -> Outcome:
    """Compare a baseline with a candidate on everything that both runs recorded.

    ``before`` and ``after`` are run folders (paths or RunFolder) or anything with ``.report`` and
    ``.predictions``. ``margins`` and the errors raised are those of ``compare_runs``; a path that is no run
    raises DataNotFound.
    """
    runs = [_as_run(before), _as_run(after)]
    comparison = compare_runs(*runs, margins=margins, title=title)
    return Outcome(comparison_report(comparison.title, runs, [comparison], command=command), comparison)


def write_report_files(folder: RunFolder, report: Report) -> list[Path]:
    """Write every format that can be written here and return the paths; ``report.json`` is written last.

    Without matplotlib or jinja2 there is no HTML, and ``report.warnings`` says what to install.
    """
    written = [write_text(folder.path / MARKDOWN, markdown_report(report))]
    files = {"markdown": MARKDOWN}
    warnings = list(report.warnings)
    try:
        written.append(write_text(folder.path / HTML, html_report(report)))
        files["html"] = HTML
    except MissingExtra as error:
        warnings.append(f"no {HTML}: {error.what}; {error.next_step}")
    complete = report.model_copy(update={"files": {**report.files, **files}, "warnings": warnings})
    return [*written, folder.write_report(complete)]


def _as_run(source: str | PathLike[str] | Run) -> Run:
    if isinstance(source, str | PathLike):
        return RunFolder.open(Path(source))
    if not (hasattr(source, "report") and hasattr(source, "predictions")):
        raise UsageError(
            f"cannot compare a {type(source).__name__}",
            why="a run has a report and predictions",
            next_step="pass a run folder, or what gp.evaluate_model returns",
        )
    return source
