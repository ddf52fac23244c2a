"""Two runs in, one comparison out; and several comparisons in one report that stands alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gelu_patch.errors import GeluPatchError, InvalidMeasurement, NotComparable, UsageError
from gelu_patch.reporting.comparing.arms import Run, SeedRuns, arm_names, arm_of, run_label, runs_of
from gelu_patch.reporting.comparing.comparability import (
    broken_controls,
    describe_differences,
    describe_doubts,
    require_comparable,
    same_machine,
    trained_apart,
)
from gelu_patch.reporting.comparing.fidelity import fidelity
from gelu_patch.reporting.comparing.flips import flips
from gelu_patch.reporting.comparing.performance import latency_results, memory_results
from gelu_patch.reporting.comparing.quality import quality_results
from gelu_patch.reporting.comparing.seed_quality import divergence_of, pair_seeds, seed_results
from gelu_patch.reporting.comparing.verdict import Evidence, decide
from gelu_patch.reporting.policy.margins import make_policy
from gelu_patch.reporting.schema import Comparison, Policy, Report, Result, Tool, VerdictName
from gelu_patch.reporting.storage.predictions import digest
from gelu_patch.reporting.storage.run_folder import now
from gelu_patch.stats.multiplicity import holm


def compare_runs(
    baseline: Run,
    candidate: Run,
    *,
    margins: Mapping[str, str] | None = None,
    policy: Policy | None = None,
    title: str = "",
) -> Comparison:
    """Compare two runs on the same examples and return every result with the verdict.

    ``margins`` maps metrics to amounts such as ``{"accuracy": "1.0pp", "latency": "+2%"}``; metrics that are not
    named keep their default margin. ``policy`` is used instead, where one is given. Raises NotComparable when the arms
    did not answer the same questions, UsageError for margins that cannot be meant, DataNotFound when a run has no
    predictions.
    """
    return _concluded(_measured(baseline, candidate, policy or make_policy(margins), title))


def compare_candidates(baseline: Run, candidates: Sequence[Run], *, policy: Policy) -> list[Comparison]:
    """Compare several candidates with one baseline.

    The p-values of each metric are adjusted for the number of candidates (Holm), and a candidate is only called
    superior when it is so after that: the best of many is better by luck. "Not worse" needs no adjustment, because
    every candidate has to show it for itself. A candidate that cannot be compared, or whose numbers are none, gets that
    as its verdict.
    """
    found: list[_Measured | Comparison] = []
    for candidate in candidates:
        try:
            found.append(_measured(baseline, candidate, policy, ""))
        except (NotComparable, InvalidMeasurement) as error:
            found.append(_refused(baseline, candidate, policy, error))
    _adjust_for_number([each.evidence for each in found if isinstance(each, _Measured)], policy)
    return [_concluded(each) if isinstance(each, _Measured) else each for each in found]


@dataclass(frozen=True)
class _Measured:
    """All of a comparison but its verdict."""

    evidence: Evidence
    comparison: dict[str, Any]


def _measured(baseline: Run, candidate: Run, policy: Policy, title: str) -> _Measured:
    old, new = baseline.report, candidate.report
    pairs = pair_seeds(baseline, candidate) if any(isinstance(arm, SeedRuns) for arm in (baseline, candidate)) else []
    details: dict[str, Any] = {}
    if pairs:
        for pair in pairs:
            if pair.before is not None and pair.after is not None:
                require_comparable(pair.runs[0].report, pair.runs[1].report, pair.before, pair.after)
        results, divergence = seed_results(pairs, policy), divergence_of(pairs)
    else:
        before, after = baseline.predictions, candidate.predictions
        require_comparable(old, new, before, after)
        results, divergence = quality_results(before, after, policy), None
        drifts = [getattr(run, "drift", None) for run in (baseline, candidate)]
        noise = getattr(baseline, "noise", None)
        details["fidelity"] = fidelity(before, after, noise=noise, drift_before=drifts[0], drift_after=drifts[1])
        details["flips"] = flips(before, after, old.data.labels if old.data else ())
    reports = [run.report for arm in (baseline, candidate) for run in runs_of(arm)]
    differences = describe_differences(old, new)
    latency, other_machine = latency_results(old, new, policy), False
    if latency and not same_machine(old.environment, new.environment):
        latency, other_machine = [], True
        differences.append("latency: not compared, the arms ran on different machines")
    evidence = Evidence(
        policy=policy,
        results=results,
        latency=latency,
        memory=memory_results(old, new, policy),
        seeds=len(pairs) or 1 if trained_apart(old, new) else None,
        limited=any(report.data.limited for report in reports if report.data),
        other_machine=other_machine,
        broken=list(dict.fromkeys(line for report in reports for line in broken_controls(report))),
        divergence=divergence,
    )
    about = {
        "title": title or " → ".join(arm_names([old, new])),
        "baseline_run": run_label(baseline),
        "candidate_run": run_label(candidate),
        "comparable": not other_machine,
        "differences": differences,
        "divergence": divergence,
        "warnings": describe_doubts(old, new),
    }
    return _Measured(evidence, about | details)


def _concluded(measured: _Measured) -> Comparison:
    evidence, verdict = measured.evidence, decide(measured.evidence)
    return Comparison(
        **measured.comparison,
        policy=evidence.policy,
        results=list(evidence.results),
        latency=list(evidence.latency),
        memory=list(evidence.memory),
        verdict=verdict.name,
        headline=verdict.headline,
        reasons=verdict.reasons,
        exit_code=verdict.exit_code,
    )


def _refused(baseline: Run, candidate: Run, policy: Policy, error: GeluPatchError) -> Comparison:
    name: VerdictName = "NOT COMPARABLE" if isinstance(error, NotComparable) else "INVALID"
    return Comparison(
        title=" → ".join(arm_names([baseline.report, candidate.report])),
        baseline_run=run_label(baseline),
        candidate_run=run_label(candidate),
        comparable=not isinstance(error, NotComparable),
        policy=policy,
        verdict=name,
        headline=f"{name}: {error.what}",
        reasons=[part for part in (error.why, error.next_step) if part],
        exit_code=error.exit_code,
    )


def _adjust_for_number(evidences: Sequence[Evidence], policy: Policy) -> None:
    """Set ``p_holm`` of each metric over the candidates, and take SUPERIOR from those that do not hold after it."""
    by_metric: dict[str, list[Result]] = {}
    for evidence in evidences:
        for result in evidence.results:
            if result.p_difference is not None:
                by_metric.setdefault(result.metric, []).append(result)
    for results in by_metric.values():
        adjusted = holm([result.p_difference or 0.0 for result in results])
        for result, p in zip(results, adjusted, strict=True):
            if len(evidences) > 1:
                result.p_holm = p
            if len(evidences) > 1 and result.state == "SUPERIOR" and p >= 2 * policy.alpha:
                result.state = "NON_INFERIOR"
                result.warnings.append(f"not superior among {len(results)} candidates (Holm's p = {p:.2g})")


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
        tool=Tool.here(command),
        data=baseline.data,
        protocol=baseline.protocol,
        activation_share=baseline.activation_share,
        environment=baseline.environment,
        arms=[arm_of(run, name) for run, name in zip(runs, chosen, strict=True)],
        comparison=first,
        comparisons=list(comparisons),
        verdict=first.verdict,
        exit_code=first.exit_code,
        notes=list(notes),
    )
