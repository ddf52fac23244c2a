"""The verdict: one name, one line, every reason, one exit code.

Rules are tried in the order of their weight: a quality that is worse beyond its margin stands even when the clock
cannot be trusted; a failed control comes before anything that the clock says; what is open comes before what is
early; and nothing passes because a number is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gelu_patch.errors import ExitCode
from gelu_patch.reporting.schema import LatencyResult, MemoryResult, Policy, Result, VerdictName
from gelu_patch.reporting.wording import (
    latency_sentence,
    memory_sentence,
    percent_change,
    place_text,
    quality_sentence,
    ratio_range,
    shown,
)
from gelu_patch.stats.paired import minimum_n

MINIMUM_SEEDS = 5

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

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of the command line for this verdict."""
        return EXIT_CODES[self.name]


@dataclass(frozen=True)
class Evidence:
    """Everything a verdict may look at.

    ``seeds``: training runs per arm when the arms were trained separately, None when they share their weights.
    """

    policy: Policy
    results: Sequence[Result]
    latency: Sequence[LatencyResult] = ()
    memory: Sequence[MemoryResult] = ()
    seeds: int | None = None


def decide(evidence: Evidence) -> Verdict:
    """Return the verdict on this evidence."""
    name, why = _first_rule_that_applies(evidence)
    return Verdict(name, f"{name}: {why}", list(_reasons(evidence)))


def _first_rule_that_applies(evidence: Evidence) -> tuple[VerdictName, str]:
    worse = [r for r in evidence.results if r.primary and r.state == "INFERIOR"]
    if worse:
        return "DO NOT SHIP", _beyond_margin(worse[0])
    broken = [r for r in evidence.latency if r.state == "INVALID"]
    if broken:
        return "INVALID", _after_quality(evidence, _failed_control(broken[0]))
    slower = [latency_sentence(r) for r in evidence.latency if r.state == "SLOWER"]
    larger = [memory_sentence(r) for r in evidence.memory if r.state == "LARGER"]
    if slower or larger:
        return "DO NOT SHIP", (slower + larger)[0]
    open_question = next(_open_questions(evidence), None)
    if open_question:
        return "INCONCLUSIVE", _after_quality(evidence, open_question)
    quality, gains = _quality_summary(evidence), _gains(evidence)
    if _too_few_seeds(evidence):
        return "PRELIMINARY", f"{_seed_text(evidence)}; so far: {', '.join([quality, *gains])}"
    if gains:
        return "SHIP", ", ".join([quality, *gains])
    return "NO GAIN", f"{quality}, no gain in speed or memory shown"


def _after_quality(evidence: Evidence, problem: str) -> str:
    """Say first that quality has passed, where it has: a clock that fails must not hide that."""
    passed = evidence.results and all(r.state in {"SUPERIOR", "NON_INFERIOR", "EQUIVALENT"} for r in evidence.results)
    return f"{_quality_summary(evidence)}, but {problem}" if passed else problem


def _beyond_margin(result: Result) -> str:
    text = shown(result)
    return f"{text.label} {text.difference} {text.interval}, margin {text.margin}"


def _failed_control(result: LatencyResult) -> str:
    control = result.aa_control
    seen = f" ({control.ratio:.3f} {ratio_range(control.ci)}, must hold 1 within the margin)" if control else ""
    where = place_text(result.phase, result.shape)
    return f"the baseline against itself failed at {where}{seen}: measure again on a quieter machine"


def _open_questions(evidence: Evidence) -> Iterator[str]:
    """Yield what keeps this from a pass, the primary metric first."""
    if not any(r.primary for r in evidence.results):
        yield "no primary quality metric was measured"
    for result in sorted(evidence.results, key=lambda r: not r.primary):
        if result.state == "INCONCLUSIVE":
            yield _undecided(result)
        elif result.state == "INFERIOR":
            yield f"the guard rail {_beyond_margin(result)} is broken: look before shipping"
    measured = {r.metric for r in evidence.results}
    measured |= {"latency"} if evidence.latency else set()
    measured |= {"memory"} if evidence.memory else set()
    for metric in evidence.policy.required:
        if metric not in measured:
            yield f"{metric} has a margin but was not measured in both arms"
    for timing in evidence.latency:
        if timing.state == "INCONCLUSIVE":
            yield _undecided_latency(timing)


def _undecided(result: Result) -> str:
    text = shown(result)
    if result.ci is None:
        return f"{text.label}: {result.warnings[0] if result.warnings else 'no interval can be trusted'}"
    who = "" if result.primary else f" of {text.label}"
    interval = f"the interval {text.interval}{' pp' if text.margin.endswith(' pp') else ''}{who}"
    verb = "crosses" if result.ci[0] <= result.margin else "keeps"
    problem = f"{interval} {verb} the margin {text.margin}"
    if result.b is None or result.n is None:
        return problem
    fewest = minimum_n(-result.margin)
    identical = "identical on this data, but " if result.identical else ""
    if result.n < fewest:
        size = f"{result.n} examples can never pass {text.margin.lstrip('+-')} (minimum {fewest})"
        return f"{identical}too few examples: {problem}; {size}"
    if result.c is None or not result.n_needed_80:
        return problem
    flip_rate = f"{100 * (result.b + result.c) / result.n:.1f} % flips"
    return f"{problem}; at {flip_rate} about {_rounded_up(result.n_needed_80):,} examples give 80 % power"


def _undecided_latency(result: LatencyResult) -> str:
    where = place_text(result.phase, result.shape)
    if result.aa_control is None and result.valid is None:
        return f"nothing vouches for the latency at {where}: the baseline was not timed against itself"
    return f"the latency interval {ratio_range(result.ci)} at {where} crosses the margin {1 + result.margin:.4g}"


def _rounded_up(count: int) -> int:
    """Return a plan for examples with no more digits than it deserves."""
    step = 50 if count > 1_000 else 10
    return -(-count // step) * step


def _too_few_seeds(evidence: Evidence) -> bool:
    return evidence.seeds is not None and evidence.seeds < MINIMUM_SEEDS


def _seed_text(evidence: Evidence) -> str:
    plural = "" if evidence.seeds == 1 else "s"
    return f"{evidence.seeds} seed{plural} per trained arm, a verdict needs {MINIMUM_SEEDS}"


def _quality_summary(evidence: Evidence) -> str:
    if all(r.identical for r in evidence.results):
        return "identical on this data"
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
    yield from (quality_sentence(r) for r in evidence.results)
    yield from (latency_sentence(r) for r in evidence.latency)
    yield from (memory_sentence(r) for r in evidence.memory)
    for result in evidence.results:
        yield from (f"{shown(result).label}: {warning}" for warning in result.warnings)
    if _too_few_seeds(evidence):
        yield _seed_text(evidence)
    if evidence.policy.source == "default":
        yield "margins: default policy"
    if not evidence.latency:
        yield "latency was not compared"
    if not evidence.memory:
        yield "memory was not compared"
