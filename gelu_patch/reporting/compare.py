"""Two runs in, one comparison out; and several comparisons in one report that stands alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gelu_patch.environment import DISTRIBUTION, git_commit, package_version
from gelu_patch.errors import UsageError
from gelu_patch.reporting.arms import Run, arm_names, arm_of, run_label
from gelu_patch.reporting.comparability import (
    describe_differences,
    require_comparable,
    same_machine,
    seeds_per_arm,
)
from gelu_patch.reporting.performance import latency_results, memory_results
from gelu_patch.reporting.policy import make_policy
from gelu_patch.reporting.predictions import digest
from gelu_patch.reporting.quality import accuracy_result, fidelity, nll_result
from gelu_patch.reporting.run_folder import now
from gelu_patch.reporting.schema import Comparison, Report, Tool
from gelu_patch.reporting.verdict import Evidence, decide


def compare_runs(
    baseline: Run, candidate: Run, *, margins: Mapping[str, str] | None = None, title: str = ""
) -> Comparison:
    """Compare two runs on the same examples and return every result with the verdict.

    ``margins`` maps metrics to amounts such as ``{"accuracy": "1.0pp", "latency": "+2%"}``; metrics that are not
    named keep their default margin. Raises NotComparable when the arms did not answer the same questions,
    UsageError for margins that cannot be meant, DataNotFound when a run has no predictions.
    """
    policy = make_policy(margins)
    old, new = baseline.report, candidate.report
    before, after = baseline.predictions, candidate.predictions
    require_comparable(old, new, before, after)
    differences = describe_differences(old, new)
    latency = latency_results(old, new, policy)
    if latency and not same_machine(old.environment, new.environment):
        latency = []
        differences.append("latency: not compared, the arms ran on different machines")
    evidence = Evidence(
        policy=policy,
        results=[accuracy_result(before, after, policy), nll_result(before, after, policy)],
        latency=latency,
        memory=memory_results(old, new, policy),
        seeds=seeds_per_arm(old, new),
    )
    verdict = decide(evidence)
    return Comparison(
        title=title or " → ".join(arm_names([old, new])),
        baseline_run=run_label(baseline),
        candidate_run=run_label(candidate),
        differences=differences,
        policy=policy,
        results=list(evidence.results),
        fidelity=fidelity(before, after),
        latency=latency,
        memory=list(evidence.memory),
        verdict=verdict.name,
        headline=verdict.headline,
        reasons=verdict.reasons,
        exit_code=verdict.exit_code,
    )


def comparison_report(
    title: str,
    runs: Sequence[Run],
    comparisons: Sequence[Comparison],
    *,
    names: Sequence[str] | None = None,
    command: Sequence[str] = (),
    notes: Sequence[str] = (),
    duration_s: float | None = None,
) -> Report:
    """Return a report of kind "compare" that stands alone: the arms are copied into it.

    ``runs`` starts with the baseline, whose data, protocol and environment become those of the report. ``names``
    are the names of the arms (default: their patch targets). The first of ``comparisons`` gives the verdict and
    the exit code. Raises UsageError without runs or comparisons.
    """
    if not runs or not comparisons:
        raise UsageError(
            "a comparison report needs runs and at least one comparison of them",
            next_step="comparison_report(title, [before, after], [compare_runs(before, after)])",
        )
    first, baseline = comparisons[0], runs[0].report
    chosen = list(names) if names is not None else arm_names([run.report for run in runs])
    identity = digest([title, *(run.report.run_id for run in runs), *(c.policy.sha256 for c in comparisons)])
    return Report(
        kind="compare",
        run_id=f"compare-{identity[:12]}",
        created=now(),
        duration_s=duration_s,
        title=title,
        tool=Tool(version=package_version(DISTRIBUTION) or "", git=git_commit(), command=list(command)),
        data=baseline.data,
        protocol=baseline.protocol,
        environment=baseline.environment,
        arms=[arm_of(run, name) for run, name in zip(runs, chosen, strict=True)],
        comparison=first,
        comparisons=list(comparisons),
        verdict=first.verdict,
        exit_code=first.exit_code,
        notes=list(notes),
    )
