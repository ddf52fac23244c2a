"""Each rule of the verdict, its exit code, and which rule wins over which."""

from __future__ import annotations

from typing import Any

import pytest

from gelu_patch.errors import ExitCode
from gelu_patch.reporting.comparing.verdict import Evidence, Verdict, decide
from gelu_patch.reporting.policy.margins import make_policy
from gelu_patch.reporting.schema import AAControl, LatencyResult, MemoryResult, Result


def accuracy(state: str, **fields: Any) -> Result:
    intervals = {
        "SUPERIOR": (0.001, 0.01), "NON_INFERIOR": (-0.004, 0.004),
        "INCONCLUSIVE": (-0.02, 0.01), "INFERIOR": (-0.15, -0.098),
    }  # fmt: skip
    low, high = intervals[state]
    known = {
        "metric": "accuracy", "baseline": 0.9, "candidate": 0.9, "diff": (low + high) / 2, "ci": (low, high),
        "method": "tango", "margin": -0.01, "b": 4, "c": 4, "n": 872, "state": state,
    }  # fmt: skip
    return Result(**(known | fields))


def nll(state: str) -> Result:
    intervals = {"NON_INFERIOR": (-0.001, 0.001), "INCONCLUSIVE": (-0.01, 0.01), "INFERIOR": (-0.03, -0.02)}
    return Result(
        metric="nll", higher_is_better=False, primary=False, diff=sum(intervals[state]) / 2, ci=intervals[state],
        method="studentised bootstrap", margin=-0.005, state=state,
    )  # fmt: skip


def latency(state: str) -> LatencyResult:
    return LatencyResult(
        shape=(8, 128), baseline_p50=8e-3, candidate_p50=7e-3, ratio=0.95, ci=(0.94, 0.96), margin=0.02,
        aa_control=AAControl(ratio=1.04, ci=(1.01, 1.08)), state=state,
    )  # fmt: skip


def memory(state: str) -> MemoryResult:
    return MemoryResult(
        phase="training", quantity="saved for backward", baseline=100, candidate=75, margin=0.01, state=state
    )


def verdict(quality: str = "NON_INFERIOR", guard: str = "NON_INFERIOR", **evidence: Any) -> Verdict:
    policy = evidence.pop("policy", make_policy())
    return decide(Evidence(policy=policy, results=[accuracy(quality), nll(guard)], **evidence))


FAST, SMALL = {"latency": [latency("FASTER")]}, {"memory": [memory("SMALLER")]}


@pytest.mark.parametrize(
    ("found", "name", "code"),
    [
        (verdict(**FAST), "SHIP", 0),
        (verdict(**SMALL), "SHIP", 0),
        (verdict("SUPERIOR"), "SHIP", 0),
        (verdict(), "NO GAIN", 0),
        (verdict(latency=[latency("SAME"), latency("NOT_SLOWER")], memory=[memory("SAME")]), "NO GAIN", 0),
        (verdict("INFERIOR"), "DO NOT SHIP", 1),
        (verdict(latency=[latency("SLOWER")]), "DO NOT SHIP", 1),
        (verdict(memory=[memory("LARGER")]), "DO NOT SHIP", 1),
        (verdict("INCONCLUSIVE", **FAST), "INCONCLUSIVE", 3),
        (verdict(guard="INCONCLUSIVE", **FAST), "INCONCLUSIVE", 3),
        (verdict(guard="INFERIOR", **FAST), "INCONCLUSIVE", 3),
        (verdict(latency=[latency("FASTER"), latency("INCONCLUSIVE")]), "INCONCLUSIVE", 3),
        (verdict(seeds=4, **FAST), "PRELIMINARY", 3),
        (verdict(seeds=5, **FAST), "SHIP", 0),
        (verdict(latency=[latency("INVALID")]), "INVALID", 5),
    ],
)
def test_each_rule(found: Verdict, name: str, code: int) -> None:
    assert (found.name, found.exit_code) == (name, code)
    assert found.headline.startswith(f"{name}: ")
    assert isinstance(found.exit_code, ExitCode)


@pytest.mark.parametrize(
    ("found", "name"),
    [
        (verdict("INFERIOR", latency=[latency("INVALID")]), "DO NOT SHIP"),
        (verdict("INFERIOR", seeds=1), "DO NOT SHIP"),
        (verdict("INFERIOR", guard="INCONCLUSIVE"), "DO NOT SHIP"),
        (verdict("INCONCLUSIVE", memory=[memory("LARGER")]), "DO NOT SHIP"),
        (verdict("INCONCLUSIVE", latency=[latency("INVALID")]), "INVALID"),
        (verdict(latency=[latency("SLOWER"), latency("INVALID")]), "INVALID"),
        (verdict("INCONCLUSIVE", seeds=1), "INCONCLUSIVE"),
    ],
)
def test_which_rule_wins(found: Verdict, name: str) -> None:
    assert found.name == name


def test_a_margin_that_was_asked_for_and_not_measured_is_no_pass() -> None:
    asked = make_policy({"latency": "+2%"})
    found = verdict(policy=asked, **SMALL)
    problem = "latency has a margin but was not measured in both arms"
    assert found.headline == f"INCONCLUSIVE: quality non-inferior, but {problem}"
    assert verdict(policy=asked, **FAST).name == "SHIP"


def test_no_quality_at_all_is_no_pass() -> None:
    assert decide(Evidence(policy=make_policy(), results=[nll("NON_INFERIOR")])).name == "INCONCLUSIVE"


def test_headlines_say_it_all() -> None:
    assert verdict("INFERIOR").headline == "DO NOT SHIP: accuracy -12.4 pp [-15.0, -9.8], margin -1.0 pp"
    assert verdict().headline == "NO GAIN: quality non-inferior, no gain in speed or memory shown"
    assert verdict(**FAST).headline == "SHIP: quality non-inferior, faster on 1 of 1 shapes"
    assert "1 seed per trained arm, a verdict needs 5" in verdict(seeds=1).headline
    assert "the baseline against itself failed" in verdict(latency=[latency("INVALID")]).headline
    assert "guard rail NLL / example +0.0250 [+0.0200, +0.0300], margin +0.005" in verdict(guard="INFERIOR").headline


def test_an_open_latency_says_what_is_open() -> None:
    crossing = latency("INCONCLUSIVE")
    assert "interval [0.940, 0.960] at 8 × 128 crosses the margin 1.02" in verdict(latency=[crossing]).headline
    crossing.aa_control = None
    assert "was not timed against itself" in verdict(latency=[crossing]).headline


def test_too_few_examples_are_named_with_the_minimum() -> None:
    few = accuracy("INCONCLUSIVE", diff=0.0, ci=(-0.019543, 0.019543), b=2, c=2, n=277)
    found = decide(Evidence(policy=make_policy(), results=[few]))
    assert found.headline == (
        "INCONCLUSIVE: too few examples: the interval [-1.95, +1.95] pp crosses the margin -1.0 pp; "
        "277 examples can never pass 1.0 pp (minimum 381)"
    )


def test_enough_examples_with_too_many_flips_get_a_plan() -> None:
    open_result = accuracy("INCONCLUSIVE", n_needed_80=1346)
    found = decide(Evidence(policy=make_policy(), results=[open_result]))
    assert found.headline.endswith("at 0.9 % flips about 1,350 examples give 80 % power")


def test_identical_arms_are_called_identical() -> None:
    same = accuracy("NON_INFERIOR", identical=True)
    found = decide(Evidence(policy=make_policy(), results=[same]))
    assert found.headline == "NO GAIN: IDENTICAL ON THIS DATA, no gain in speed or memory shown"


def test_the_reasons_hold_every_result_and_the_default_policy() -> None:
    reasons = verdict(seeds=1, **FAST, **SMALL).reasons
    for part in ("accuracy", "NLL", "8 × 128", "saved for backward", "1 seed per", "default policy"):
        assert any(part in reason for reason in reasons), part
    assert not any("default policy" in reason for reason in verdict(policy=make_policy({"nll": "0.01"})).reasons)


def test_a_clock_that_fails_does_not_hide_that_quality_passed() -> None:
    """The name stays INVALID; the line says first what is known."""
    headline = verdict(latency=[latency("INVALID")], **SMALL).headline
    assert headline.startswith("INVALID: quality non-inferior, but the baseline against itself failed")
