"""``compare``: the public verb, and what it returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import cast

from rich.console import Group, RenderableType

from gelu_patch.errors import ExitCode, MissingExtra, UsageError
from gelu_patch.reporting.comparing.arms import Run, SeedRuns, open_arm, runs_of
from gelu_patch.reporting.comparing.compare import compare_candidates, compare_runs, comparison_report
from gelu_patch.reporting.comparing.performance import with_bench
from gelu_patch.reporting.comparing.verdict import worst
from gelu_patch.reporting.policy.margins import make_policy
from gelu_patch.reporting.policy.policy_file import policy_for, read_policy
from gelu_patch.reporting.rendering.console import comparison_text, comparison_view
from gelu_patch.reporting.rendering.html import html_report
from gelu_patch.reporting.rendering.markdown import markdown_report
from gelu_patch.reporting.schema import Comparison, Policy, Report, VerdictName
from gelu_patch.reporting.storage.files import write_text
from gelu_patch.reporting.storage.run_folder import HTML, MARKDOWN, RunFolder


@dataclass(frozen=True)
class Outcome:
    """One comparison, or several with the same baseline, and the report that holds them. Print it to read it."""

    report: Report
    comparisons: Sequence[Comparison]

    @property
    def comparison(self) -> Comparison:
        """The first comparison."""
        return self.comparisons[0]

    @property
    def verdict(self) -> VerdictName:
        """SHIP, NO GAIN, DO NOT SHIP, INCONCLUSIVE, PRELIMINARY, PARTIAL, NOT COMPARABLE or INVALID: the gravest."""
        return worst(self.comparisons).verdict

    @property
    def exit_code(self) -> ExitCode:
        """What the command line would exit with."""
        return ExitCode(worst(self.comparisons).exit_code)

    def save(self, path: str | Path, *, overwrite: bool = False) -> RunFolder:
        """Write ``report.json``, ``report.md`` and, where the extra is installed, ``report.html``.

        Raises OutputExists when ``path`` holds another run and not ``overwrite``.
        """
        folder = RunFolder.create(path, overwrite=overwrite)
        write_report_files(folder, self.report)
        return folder

    def __str__(self) -> str:
        return "\n\n".join(comparison_text(comparison, self.report.arms) for comparison in self.comparisons)

    def __rich__(self) -> RenderableType:
        return Group(*(comparison_view(comparison, self.report.arms) for comparison in self.comparisons))


Source = str | PathLike[str] | Run | Sequence[str | PathLike[str] | Run]


def compare(
    before: Source,
    after: Source,
    *more: Source,
    margins: Mapping[str, str] | None = None,
    policy: Policy | str | PathLike[str] | None = None,
    bench: str | PathLike[str] | None = None,
    title: str = "",
    command: Sequence[str] = (),
) -> Outcome:
    """Compare a baseline with one or several candidates on everything that the runs recorded.

    An arm is a run folder (a path or RunFolder), anything with ``.report`` and ``.predictions``, or several of these:
    one run per training seed, as a list or as the directory that holds them. ``policy`` is a file or what
    ``read_policy`` returns, ``margins`` replace those of it; without either it is the policy that the baseline run was
    fixed to, or the default one. ``bench`` is a run of ``gelu-patch bench`` whose times and memory the arms get. The
    errors raised are those of ``compare_runs``; a path that is no run raises DataNotFound. With several candidates,
    one that cannot be compared raises nothing and gets that as its verdict.
    """
    runs = [_as_run(source) for source in (before, after, *more)]
    if bench is not None:
        _attach(RunFolder.open(Path(bench)).report, runs)
    baseline, candidates = runs[0], runs[1:]
    folder = getattr(runs_of(baseline)[0], "path", None)
    fixed = policy_for(folder, _chosen(policy, margins))
    if more:
        comparisons = compare_candidates(baseline, candidates, policy=fixed)
    else:
        comparisons = [compare_runs(baseline, candidates[0], policy=fixed, title=title)]
    report = comparison_report(title or comparisons[0].title, runs, comparisons, command=command)
    outcome = Outcome(report, comparisons)
    report.verdict, report.exit_code = outcome.verdict, int(outcome.exit_code)
    return outcome


def _chosen(policy: Policy | str | PathLike[str] | None, margins: Mapping[str, str] | None) -> Policy | None:
    if policy is None:
        return make_policy(margins) if margins else None
    if isinstance(policy, str | PathLike):
        return read_policy(Path(policy), margins)
    if margins:
        raise UsageError("margins cannot replace those of a policy object", next_step="pass one of the two")
    return policy


def write_report_files(folder: RunFolder, report: Report) -> list[Path]:
    """Write every format that can be written here and return the paths; ``report.json`` is written last.

    Without matplotlib or jinja2 there is no HTML, and ``report.warnings`` says what to install.
    """
    # What is written beside the JSON is made from the very report that the JSON holds.
    files = {**report.files, "markdown": MARKDOWN, "html": HTML}
    complete = report.model_copy(update={"files": files})
    try:
        pages = {HTML: html_report(complete)}
    except MissingExtra as error:
        files.pop("html")
        why = f"no {HTML}: {error.what}; {error.next_step}"
        complete, pages = report.model_copy(update={"files": files, "warnings": [*report.warnings, why]}), {}
    pages[MARKDOWN] = markdown_report(complete)
    written = [write_text(folder.path / name, text) for name, text in pages.items()]
    return [*written, folder.write_report(complete)]


def _attach(bench: Report, runs: Sequence[Run]) -> None:
    """Put what ``bench`` measured into the reports of the runs, as they are in memory."""
    for run in (each for arm in runs for each in runs_of(arm)):
        run.__dict__["report"] = with_bench(run.report, bench)


def _as_run(source: Source) -> Run:
    if isinstance(source, str | PathLike):
        return open_arm(Path(source))
    if isinstance(source, list | tuple) and source:
        runs = [run for each in source for run in runs_of(_as_run(each))]
        return runs[0] if len(runs) == 1 else SeedRuns(runs)
    if not (hasattr(source, "report") and hasattr(source, "predictions")):
        raise UsageError(
            f"cannot compare a {type(source).__name__}",
            why="a run has a report and predictions",
            next_step="pass a run folder, or what gp.evaluate_model returns",
        )
    return cast(Run, source)
