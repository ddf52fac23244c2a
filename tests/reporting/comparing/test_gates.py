"""What gates and what is shown, runs that cannot be believed, and several candidates at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gelu_patch.errors import UsageError
from gelu_patch.reporting.comparing.compare import compare_candidates, compare_runs
from gelu_patch.reporting.comparing.quality import accuracy_result, count_result
from gelu_patch.reporting.outcome import compare
from gelu_patch.reporting.policy.margins import make_policy
from gelu_patch.reporting.policy.metrics import METRICS
from gelu_patch.reporting.rendering.selection import changed_only
from gelu_patch.reporting.schema import Check, Comparison, PatchedSite, Result
from gelu_patch.reporting.storage.predictions import Predictions
from gelu_patch.stats.counts import f1_of, paired_counts
from gelu_patch.stats.multiplicity import holm
from tests.reporting import made_up
from tests.reporting.made_up import MadeUpRun


def by_name(comparison: Comparison) -> dict[str, Result]:
    return {result.metric: result for result in comparison.results}


def test_f1_is_shown_and_gates_when_it_is_named() -> None:
    base, cand = made_up.run(), made_up.run("fused", noise=1e-3)
    usual = compare_runs(base, cand)
    assert (by_name(usual)["f1"].gated, usual.verdict) == (False, "NO GAIN")
    named = compare_runs(base, cand, margins={"f1": "1pp"})
    assert (by_name(named)["f1"].gated, named.verdict) == (True, "INCONCLUSIVE")
    assert "F1: only 0 predictions changed between right and wrong (at least 20 are needed)" in named.headline


def test_few_discordant_examples_refuse_f1_and_say_how_many_would_do() -> None:
    found = compare_runs(made_up.run(), made_up.run("x", b=5, c=5), policy=make_policy(primary=["f1"]))
    f1 = by_name(found)["f1"]
    assert (f1.ci, f1.state, f1.primary, f1.n_needed_80) == (None, "INCONCLUSIVE", True, 4000)
    assert found.headline.endswith("about 4,000 examples would have enough of them")


def test_f1_is_the_paired_bootstrap_on_counts() -> None:
    base, cand = made_up.run(), made_up.run("x", b=40, c=25)
    f1 = by_name(compare_runs(base, cand))["f1"]
    one, other = base.predictions, cand.predictions
    expected = paired_counts(one.class_labels, one.pred, other.pred, 2, f1_of)
    assert (f1.ci, f1.p_difference) == (expected.interval, expected.p_randomised)
    assert f1.n_needed_80 is not None
    assert f1.n_needed_80 > 2000


def test_a_primary_f1_that_is_worse_must_not_ship_and_accuracy_becomes_a_guard() -> None:
    found = compare_runs(made_up.run(), made_up.run("x", b=200), policy=make_policy(primary=["f1"]))
    assert found.verdict == "DO NOT SHIP"
    assert "F1" in found.headline
    assert not by_name(found)["accuracy"].primary


@pytest.mark.parametrize(("n", "state"), [(380, "INCONCLUSIVE"), (400, "NON_INFERIOR")])
def test_identical_outputs_are_equal_in_f1_too_when_they_are_enough(n: int, state: str) -> None:
    one = made_up.predictions(n)
    assert count_result(METRICS.get("f1"), one, one, make_policy()).state == state


def test_what_is_ignored_decides_nothing() -> None:
    base, cand = made_up.run(), made_up.run("x", noise=1e-3)
    base.report.memory, cand.report.memory = [made_up.memory(100)], [made_up.memory(200)]
    assert compare_runs(base, cand).verdict == "DO NOT SHIP"
    assert compare_runs(base, cand, policy=make_policy(ignore=["memory"])).verdict == "NO GAIN"


def test_groups_shrink_the_counts_of_accuracy() -> None:
    after = made_up.predictions(2000, wrong=200, b=40)
    base = made_up.predictions(2000, wrong=200)
    groups = [f"text-{i // 10}" for i in range(2000)]
    alone = accuracy_result(base, after, make_policy())
    grouped = accuracy_result(replace(base, group_id=groups), after, make_policy())
    assert (grouped.b, grouped.n, grouped.n_groups) == (40, 2000, 200)
    assert grouped.method.startswith("tango, design effect ")
    assert alone.ci is not None
    assert grouped.ci is not None
    assert grouped.ci[1] - grouped.ci[0] > 2 * (alone.ci[1] - alone.ci[0])


def test_few_groups_do_not_pass_and_do_not_hide_a_harm() -> None:
    base = replace(made_up.predictions(2000, wrong=200), group_id=[str(i % 12) for i in range(2000)])
    same = accuracy_result(base, made_up.predictions(2000, wrong=200, noise=0.01), make_policy())
    assert same.state == "INCONCLUSIVE"
    assert "only 12 groups (at least 30 are needed)" in same.warnings[0]
    assert accuracy_result(base, made_up.predictions(2000, wrong=200, b=400), make_policy()).state == "INFERIOR"


def test_answers_without_logits_are_compared_by_accuracy() -> None:
    runs = []
    for target, lost in (("stock", 0), ("relu", 3)):
        run = made_up.run(target)
        choice = np.zeros(2000, np.int64)
        choice[:lost] = 1
        run.predictions = Predictions(run.predictions.ids, label=np.zeros(2000, np.int64), choice=choice)
        runs.append(run)
    found = compare_runs(*runs)
    assert [result.metric for result in found.results] == ["accuracy"]
    assert found.results[0].b == 3
    assert found.verdict == "NO GAIN"


def test_another_alpha_changes_interval_and_minimum() -> None:
    base, cand = made_up.run(n=300, wrong=30), made_up.run("x", n=300, wrong=30, noise=1e-3)
    assert compare_runs(base, cand).results[0].state == "INCONCLUSIVE"
    loose = compare_runs(base, cand, policy=make_policy(alpha=0.05, ignore=["nll"])).results[0]
    assert loose.state == "NON_INFERIOR"
    assert loose.ci == pytest.approx((-0.00894, 0.00894), abs=1e-4)  # z²/(n + z²) with z = 1.645


def broken_site(run: MadeUpRun) -> None:
    assert run.report.subject
    sites = [PatchedSite(site=f"layer.{i}", from_="gelu", to="gelu", kernel="cpu") for i in range(2)]
    sites[1].fallback = "dtype float64"
    run.report.subject.patch.plan = sites


def failed_check(run: MadeUpRun) -> None:
    run.report.checks = [Check(name="numeric", passed=False, measured="3e-2", bar="1e-5")]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (broken_site, "a kernel fell back at 1 of 2 sites, first layer.1 (cpu: dtype float64)"),
        (failed_check, "the check 'numeric' failed: 3e-2, bar 1e-5"),
    ],
)
@pytest.mark.parametrize("lost", [0, 200])
def test_a_run_that_did_not_do_what_it_says_is_invalid(damage: Any, words: str, lost: int) -> None:
    cand = made_up.run("fused", noise=1e-3, b=lost)
    damage(cand)
    found = compare_runs(made_up.run(), cand)
    assert (found.verdict, found.exit_code) == ("INVALID", 5)
    assert words in found.headline


def test_a_part_of_the_data_is_partial_unless_it_is_worse() -> None:
    base, cand, worse = made_up.run(), made_up.run("x", noise=1e-3), made_up.run("x", b=200)
    for run in (base, cand, worse):
        assert run.report.data
        run.report.data.limited = True
    found = compare_runs(base, cand)
    assert (found.verdict, found.exit_code) == ("PARTIAL", 3)
    assert compare_runs(base, worse).verdict == "DO NOT SHIP"


def other_machine(**flips: Any) -> Comparison:
    base, cand = made_up.run(), made_up.run("x", **flips)
    cand.report.latency = [made_up.latency(0.95)]
    cand.report.environment.cpu = "Epyc"
    return compare_runs(base, cand)


def test_latency_of_another_machine_is_refused_and_quality_is_compared() -> None:
    found = other_machine(noise=1e-3)
    assert (found.verdict, found.exit_code, found.comparable) == ("NOT COMPARABLE", 4, False)
    assert found.headline == "NOT COMPARABLE: quality non-inferior, but the latencies come from different machines"
    assert by_name(found)["accuracy"].state == "NON_INFERIOR"
    assert other_machine(b=200).verdict == "DO NOT SHIP"


def test_doubts_are_warnings() -> None:
    base, cand = made_up.run(), made_up.run("x", noise=1e-3)
    assert cand.report.protocol
    cand.report.protocol.model_mode = "train"
    assert base.report.data
    assert cand.report.data
    base.report.data.duplicate_inputs, base.report.data.seen_in_training, cand.report.data.labels = 12, 3, []
    text = "\n".join(compare_runs(base, cand).warnings)
    for words in (
        "the candidate was left in train mode",
        "12 of 2000 inputs occur more than once",
        "3 of 2000 inputs were trained on",
        "only one arm names its classes",
    ):
        assert words in text


def test_require_gain_of_a_policy_is_in_the_exit_code() -> None:
    base, cand = made_up.run(), made_up.run("x", noise=1e-3)
    found = compare_runs(base, cand, policy=make_policy(require_gain=True))
    assert (found.verdict, found.exit_code) == ("NO GAIN", 1)


def test_several_candidates_are_corrected_by_holm() -> None:
    base = made_up.run()
    lucky = [made_up.run(f"x{k}", c=7) for k in range(4)]
    alone = compare_runs(base, lucky[0])
    assert by_name(alone)["accuracy"].state == "SUPERIOR"
    assert by_name(alone)["accuracy"].p_holm is None
    together = compare_candidates(base, lucky, policy=make_policy())
    results = [by_name(each)["accuracy"] for each in together]
    assert [each.p_holm for each in results] == pytest.approx(holm([each.p_difference or 0 for each in results]))
    assert {each.state for each in results} == {"NON_INFERIOR"}
    assert "not superior among 4 candidates" in results[0].warnings[-1]


def test_a_difference_that_holds_for_four_candidates_is_superior() -> None:
    together = compare_candidates(made_up.run(), [made_up.run(f"x{k}", c=40) for k in range(4)], policy=make_policy())
    assert {by_name(each)["accuracy"].state for each in together} == {"SUPERIOR"}


def test_a_candidate_that_cannot_be_compared_does_not_stop_the_others() -> None:
    base, good, other = made_up.run(), made_up.run("x", noise=1e-3), made_up.run("y", n=100, wrong=10)
    outcome = compare(base, good, other)
    assert [each.verdict for each in outcome.comparisons] == ["NO GAIN", "NOT COMPARABLE"]
    assert (outcome.verdict, outcome.exit_code, outcome.report.exit_code) == ("NOT COMPARABLE", 4, 4)
    assert len(outcome.report.arms) == 3


@pytest.mark.parametrize(
    ("lost", "verdict", "code"), [((0, 0), "NO GAIN", 0), ((0, 200), "DO NOT SHIP", 1), ((25, 200), "DO NOT SHIP", 1)]
)
def test_the_gravest_verdict_stands_for_several(lost: tuple[int, int], verdict: str, code: int) -> None:
    outcome = compare(made_up.run(), *(made_up.run(f"x{b}", b=b, noise=1e-3) for b in lost))
    assert (outcome.verdict, outcome.exit_code) == (verdict, code)


def test_only_what_changed() -> None:
    base, cand = made_up.run(), made_up.run("x", noise=1e-3)
    base.report.memory, cand.report.memory = [made_up.memory(100)], [made_up.memory(100)]
    full = compare_runs(base, cand)
    shown = changed_only(full)
    assert "accuracy" not in by_name(shown)
    assert "nll" in by_name(shown)
    assert (len(full.memory), shown.memory) == (1, [])
    assert shown.verdict == full.verdict


def test_margins_do_not_replace_those_of_a_policy_object() -> None:
    with pytest.raises(UsageError, match="policy object"):
        compare(made_up.run(), made_up.run(), policy=make_policy(), margins={"nll": "0.1"})
