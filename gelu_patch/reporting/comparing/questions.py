"""What keeps a comparison from passing, in words, and what would settle it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gelu_patch.reporting.schema import LatencyResult, MemoryResult, Policy, Result
from gelu_patch.reporting.wording import IDENTICAL, beyond_margin, place_text, ratio_range, shown
from gelu_patch.stats.paired import minimum_n, z_of


def open_questions(
    policy: Policy, results: Sequence[Result], latency: Sequence[LatencyResult], memory: Sequence[MemoryResult]
) -> Iterator[str]:
    """Yield what keeps this from a pass, the primary metric first."""
    if not any(result.primary for result in results):
        yield "no primary quality metric was measured"
    for result in sorted(results, key=lambda each: not each.primary):
        if not result.gated:
            continue
        if result.state == "INCONCLUSIVE":
            yield _undecided(result, policy)
        elif result.state == "INFERIOR":
            yield f"the guard rail {beyond_margin(result)} is broken: look before shipping"
    measured = {result.metric for result in results}
    measured |= {"latency"} if latency else set()
    measured |= {"memory"} if memory else set()
    for metric in policy.required:
        if metric not in measured:
            why = "has a margin" if metric not in policy.primary else "is primary"
            yield f"{metric} {why} but was not measured in both arms"
    for timing in latency:
        if timing.state == "INCONCLUSIVE":
            yield _undecided_latency(timing)


def _undecided(result: Result, policy: Policy) -> str:
    text = shown(result)
    if result.ci is None:
        reason = result.warnings[0] if result.warnings else "no interval can be trusted"
        return f"{text.label}: {reason}{_plan(result, '; ')}"
    who = "" if result.primary else f" of {text.label}"
    interval = f"the interval {text.interval}{' pp' if text.margin.endswith(' pp') else ''}{who}"
    verb = "crosses" if result.ci[0] <= result.margin else "keeps"
    problem = f"{interval} {verb} the margin {text.margin}"
    if result.b is None or result.c is None or result.n is None:
        return f"{problem}{_plan(result, '; ')}"
    fewest = minimum_n(-result.margin, z=z_of(policy.alpha))
    identical = f"{IDENTICAL}, but " if result.identical else ""
    if result.n < fewest:
        size = f"{result.n} examples can never pass {text.margin.lstrip('+-')} (minimum {fewest})"
        return f"{identical}too few examples: {problem}; {size}{_plan(result, '; ')}"
    if verb == "keeps":
        return f"{problem}, but {result.warnings[-1] if result.warnings else 'it cannot be trusted'}"
    return f"{problem}{_plan(result, '; ')}"


def _plan(result: Result, joint: str) -> str:
    """Return how many units would settle the question, where that is known."""
    if not result.n_needed_80:
        return ""
    if result.ci is None:  # only the number of discordant examples is known to be too small
        return f"{joint}about {_rounded_up(result.n_needed_80):,} examples would have enough of them"
    flips = ""
    if result.b is not None and result.c is not None and result.n:
        flips = f"at {100 * (result.b + result.c) / result.n:.1f} % flips "
    wanted = result.n_needed_80 if result.unit == "seed" else _rounded_up(result.n_needed_80)
    return f"{joint}{flips}about {wanted:,} {result.unit}s give 80 % power"


def _undecided_latency(result: LatencyResult) -> str:
    where = place_text(result.phase, result.shape)
    if result.aa_control is None and result.valid is None:
        return f"nothing vouches for the latency at {where}: the baseline was not timed against itself"
    return f"the latency interval {ratio_range(result.ci)} at {where} crosses the margin {1 + result.margin:.4g}"


def _rounded_up(count: int) -> int:
    """Return a plan for examples with no more digits than it deserves."""
    step = 50 if count > 1_000 else 10
    return -(-count // step) * step
