"""The verdict: one name, one line, every reason, one exit code.

Rules are tried in the order of their weight: where a kernel fell back nothing was measured; a quality that is worse
beyond its margin stands even when the clock cannot be trusted; a failed control comes before anything that the clock
says; what is open comes before what is early; and nothing passes because a number is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from gelu_patch.errors import ExitCode
from gelu_patch.reporting.comparing.questions import open_questions
from gelu_patch.reporting.schema import Comparison, Divergence, LatencyResult, MemoryResult, Policy, Result, VerdictName
from gelu_patch.reporting.wording import (
    IDENTICAL,
    beyond_margin,
    divergence_sentence,
    doubts,
    failed_control,
    latency_sentence,
    memory_sentence,
    percent_change,
    perplexity_sentence,
    plural,
    quality_sentence,
    shown,
)

PASSED = frozenset({"SUPERIOR", "NON_INFERIOR", "EQUIVALENT"})
CHANGED_MARGINS = "the margins are not those that the baseline was fixed to before"

EXIT_CODES: dict[VerdictName, ExitCode] = {
    "SHIP": ExitCode.OK,
    "NO GAIN": ExitCode.OK,
    "DO NOT SHIP": ExitCode.DO_NOT_SHIP,
    "INCONCLUSIVE": ExitCode.INCONCLUSIVE,
    "PRELIMINARY": ExitCode.INCONCLUSIVE,
    "PARTIAL": ExitCode.INCONCLUSIVE,
    "NOT COMPARABLE": ExitCode.NOT_COMPARABLE,
    "INVALID": ExitCode.INVALID,
}


@dataclass(frozen=True)
class Verdict:
    """The outcome of a comparison. ``headline`` starts with the name."""

    name: VerdictName
    headline: str
    reasons: list[str]
    exit_code: ExitCode


@dataclass(frozen=True)
class Evidence:
    """Everything a verdict may look at.

    ``seeds``: training runs per arm when the arms were trained separately, None when they share their weights.
    ``limited``: the runs saw a part of their data only. ``other_machine``: latency was measured, and cannot be
    compared. ``broken``: why nothing that was measured can be believed.
    """

    policy: Policy
    results: Sequence[Result]
    latency: Sequence[LatencyResult] = ()
    memory: Sequence[MemoryResult] = ()
    seeds: int | None = None
    limited: bool = False
    other_machine: bool = False
    broken: Sequence[str] = ()
    divergence: Divergence | None = None
    gated: Sequence[Result] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "gated", [result for result in self.results if result.gated])
        for name in ("latency", "memory"):
            if name in self.policy.ignore:
                object.__setattr__(self, name, ())


# Which exit code stands for several comparisons: what could not be compared or measured says nothing about the others.
_GRAVITY = (4, 5, 1, 3, 0)


def worst(comparisons: Sequence[Comparison]) -> Comparison:
    """Return the comparison whose exit code stands for all of them, the first of equals."""
    return min(comparisons, key=lambda each: _GRAVITY.index(each.exit_code))


def decide(evidence: Evidence) -> Verdict:
    """Return the verdict on this evidence."""
    name, why = _first_rule_that_applies(evidence)
    banner = f" ({CHANGED_MARGINS})" if evidence.policy.fixed_before_run is False else ""
    gainless = name == "NO GAIN" and evidence.policy.require_gain
    code = ExitCode.DO_NOT_SHIP if gainless else EXIT_CODES[name]
    return Verdict(name, f"{name}: {why}{banner}", list(_reasons(evidence)), code)


def _first_rule_that_applies(evidence: Evidence) -> tuple[VerdictName, str]:
    if evidence.broken:
        return "INVALID", evidence.broken[0]
    worse = [r for r in evidence.results if r.primary and r.state == "INFERIOR"]
    if worse:
        return "DO NOT SHIP", beyond_margin(worse[0])
    if _diverges_more(evidence):
        return "DO NOT SHIP", divergence_sentence(evidence.divergence)
    if evidence.other_machine and "latency" not in evidence.policy.ignore:
        return "NOT COMPARABLE", _after_quality(evidence, "the latencies come from different machines")
    broken = [r for r in evidence.latency if r.state == "INVALID"]
    if broken:
        return "INVALID", _after_quality(evidence, failed_control(broken[0]))
    slower = [latency_sentence(r) for r in evidence.latency if r.state == "SLOWER"]
    larger = [memory_sentence(r) for r in evidence.memory if r.state == "LARGER"]
    if slower or larger:
        return "DO NOT SHIP", (slower + larger)[0]
    questions = open_questions(evidence.policy, evidence.results, evidence.latency, evidence.memory)
    open_question = next(questions, None)
    if evidence.limited:
        so_far = open_question or ", ".join([_quality_summary(evidence), *_gains(evidence)])
        return "PARTIAL", f"only a part of the data was evaluated (--limit); so far: {so_far}"
    if open_question:
        return "INCONCLUSIVE", _after_quality(evidence, open_question)
    quality, gains = _quality_summary(evidence), _gains(evidence)
    if _too_few_seeds(evidence):
        return "PRELIMINARY", f"{_seed_text(evidence)}; so far: {', '.join([quality, *gains])}"
    if gains:
        return "SHIP", ", ".join([quality, *gains])
    return "NO GAIN", f"{quality}, no gain in speed or memory shown"


def _diverges_more(evidence: Evidence) -> bool:
    found = evidence.divergence
    return found is not None and found.candidate > found.baseline and found.p < 2 * evidence.policy.alpha


def _after_quality(evidence: Evidence, problem: str) -> str:
    """Say first that quality has passed, where it has: a clock that fails must not hide that."""
    passed = evidence.gated and all(r.state in PASSED for r in evidence.gated)
    return f"{_quality_summary(evidence)}, but {problem}" if passed else problem


def _too_few_seeds(evidence: Evidence) -> bool:
    return evidence.seeds is not None and evidence.seeds < evidence.policy.minimum_seeds


def _seed_text(evidence: Evidence) -> str:
    return f"{plural(evidence.seeds or 0, 'seed')} per trained arm, a verdict needs {evidence.policy.minimum_seeds}"


def _quality_summary(evidence: Evidence) -> str:
    if evidence.results and all(r.identical for r in evidence.results):
        return IDENTICAL
    better = any(r.state == "SUPERIOR" and r.primary for r in evidence.results)
    return "quality superior" if better else "quality non-inferior"


def _gains(evidence: Evidence) -> list[str]:
    """Return what is proven to be better, in words."""
    gains = [f"{shown(r).label} better by {shown(r).difference.lstrip('+-')}" for r in _superior(evidence)]
    faster = sum(r.state == "FASTER" for r in evidence.latency)
    if faster:
        gains.append(f"faster on {faster} of {len(evidence.latency)} shapes")
    for result in evidence.memory:
        if result.state == "SMALLER":
            change = percent_change(result.baseline, result.candidate)
            gains.append(f"{result.quantity} {change} in {result.phase}")
    return gains


def _superior(evidence: Evidence) -> list[Result]:
    return [r for r in evidence.results if r.primary and r.state == "SUPERIOR"]


def _reasons(evidence: Evidence) -> Iterator[str]:
    for result in evidence.results:
        yield quality_sentence(result)
        if result.ratio is not None:
            yield perplexity_sentence(result)
    yield from (latency_sentence(r) for r in evidence.latency)
    yield from (memory_sentence(r) for r in evidence.memory)
    yield from doubts(evidence.results)
    yield from evidence.broken
    if evidence.divergence and (evidence.divergence.baseline or evidence.divergence.candidate):
        yield divergence_sentence(evidence.divergence)
    if _too_few_seeds(evidence):
        yield _seed_text(evidence)
    if evidence.policy.fixed_before_run is False:
        yield CHANGED_MARGINS
    if evidence.policy.source == "default":
        yield "margins: default policy"
    if not evidence.latency:
        yield "latency was not compared"
    if not evidence.memory:
        yield "memory was not compared"
