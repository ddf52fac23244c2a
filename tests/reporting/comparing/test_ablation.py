"""The ranking of an ablation: against the right baseline, corrected for the number of arms, honest about ties."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from gelu_patch.reporting.comparing.ablation import ablation_report
from gelu_patch.reporting.comparing.arms import SeedRuns
from gelu_patch.reporting.policy.margins import make_policy
from gelu_patch.reporting.rendering.ablation_tables import ablation_sentences, ranking_table, stability_table
from gelu_patch.reporting.rendering.console import ablation_view
from gelu_patch.reporting.rendering.html import html_report
from gelu_patch.reporting.rendering.markdown import markdown_report
from gelu_patch.reporting.schema import AblationArm, Report
from gelu_patch.stats.seeds import seed_paired_t
from tests.reporting.comparing.test_seed_arms import arm, diverge

# Predictions that each seed gets wrong beyond the usual 200 of 2,000.
LOST = {
    "stock": [10, 14, 12, 16, 13],
    "gelu_tanh": [11, 13, 12, 17, 12],
    "silu": [17, 19, 22, 21, 22],
    "relu": [90, 95, 88, 91, 99],
}


def arms(lost: dict[str, list[int]] | None = None) -> dict[str, SeedRuns]:
    return {name: arm(name, row, weights=name) for name, row in (lost or LOST).items()}


def made(found: dict[str, SeedRuns] | None = None, baseline: str = "stock", **policy: Any) -> Report:
    return ablation_report("made up", found or arms(), baseline=baseline, policy=make_policy(**policy))


def by_name(report: Report) -> dict[str, AblationArm]:
    assert report.ablation
    return {each.name: each for each in report.ablation.arms}


def test_the_order_is_that_of_the_metric_and_ties_are_said() -> None:
    report = made()
    assert report.ablation
    assert report.kind == "ablate"
    assert report.exit_code == 0
    assert [each.rank for each in report.ablation.arms] == [1, 2, 3, 4]
    assert [each.name for each in report.ablation.arms] == ["gelu_tanh", "stock", "silu", "relu"]
    found = by_name(report)
    outcomes = {name: each.outcome for name, each in found.items()}
    assert outcomes == {"stock": "baseline", "gelu_tanh": "not told apart", "silu": "worse", "relu": "worse"}
    assert found["gelu_tanh"].tied == ["stock"]
    assert found["stock"].tied == ["gelu_tanh"]
    assert found["relu"].mean == pytest.approx(np.mean([(1800 - lost) / 2000 for lost in LOST["relu"]]))
    assert found["silu"].sd == pytest.approx(np.std(LOST["silu"], ddof=1) / 2000)


def test_intervals_are_holms_and_not_those_of_one_comparison() -> None:
    found = by_name(made())
    p_values = {name: each.p for name, each in found.items() if each.p is not None}
    assert sorted(p_values, key=lambda name: p_values[name]) == ["relu", "silu", "gelu_tanh"]
    for name, error in (("relu", 0.05 / 3), ("silu", 0.05 / 2), ("gelu_tanh", 0.05)):
        rows = [[(1800 - lost) / 2000 for lost in LOST[each]] for each in ("stock", name)]
        assert found[name].ci == pytest.approx(seed_paired_t(*rows).interval)
        assert found[name].ci_holm == pytest.approx(seed_paired_t(*rows, level=1 - error).interval)
    assert found["silu"].p_holm == pytest.approx(2 * p_values["silu"])


def test_one_of_many_that_is_better_by_luck_is_not_told_apart() -> None:
    row = [8, 12, 6, 14, 9]
    alone = by_name(made(arms({"stock": LOST["stock"], "silu": row})))["silu"]
    assert alone.outcome == "better"
    others = {f"other {i}": [10 + i, 14, 11 - i, 16 + i, 12] for i in range(6)}
    among = by_name(made(arms({"stock": LOST["stock"], "silu": row, **others})))["silu"]
    assert among.outcome == "not told apart"
    assert among.ci == alone.ci
    assert "stock" in among.tied


def test_the_baseline_is_the_one_that_was_named() -> None:
    found = by_name(made(baseline="relu"))
    assert found["relu"].outcome == "baseline"
    assert found["relu"].diff is None
    assert {found[name].outcome for name in ("stock", "gelu_tanh", "silu")} == {"better"}
    report = made(baseline="relu")
    assert [each.title for each in report.comparisons] == ["relu → stock", "relu → gelu_tanh", "relu → silu"]
    assert report.arms[0].name == "relu"


def test_a_diverged_arm_is_last_and_compared_with_none_and_the_others_stay() -> None:
    found = arms(LOST | {"gelu_quick": [0, 0, 0, 0, 0]})
    diverge(found["gelu_quick"].runs[1])  # type: ignore[arg-type]
    report = made(found)
    assert report.ablation
    last = report.ablation.arms[-1]
    assert (last.name, last.outcome, last.diverged, last.seeds) == ("gelu_quick", "diverged", 1, 5)
    assert last.per_seed[1] is None
    assert (last.ci_holm, last.tied) == (None, [])
    assert report.exit_code == 0
    assert report.warnings == ["gelu_quick: 1 of its runs diverged"]
    assert by_name(report)["silu"].outcome == "worse"
    assert ranking_table(report.ablation).rows[-1][-1] == "diverged (1 of 5)"
    assert any("is last" in line for line in ablation_sentences(report.ablation))


def test_a_run_that_diverged_and_still_answers_is_diverged_all_the_same() -> None:
    found = arms()
    diverge(found["silu"].runs[0], answers=True)  # type: ignore[arg-type]
    assert by_name(made(found))["silu"].outcome == "diverged"


def test_a_baseline_that_diverged_is_no_baseline() -> None:
    found = arms()
    diverge(found["stock"].runs[2])  # type: ignore[arg-type]
    report = made(found)
    assert report.exit_code == 5
    assert {each.outcome for name, each in by_name(report).items() if name != "stock"} == {"no interval"}


def test_every_run_diverged() -> None:
    found = arms()
    for each in (run for runs in found.values() for run in runs.runs):
        diverge(each)  # type: ignore[arg-type]
    report = made(found)
    assert report.exit_code == 5
    assert markdown_report(report)


def test_one_seed_has_no_interval() -> None:
    report = made(arms({"stock": [3], "relu": [90]}))
    assert by_name(report)["relu"].outcome == "no interval"
    assert by_name(report)["relu"].diff == pytest.approx(-87 / 2000)
    assert by_name(report)["relu"].sd is None


def test_arms_that_do_the_same_are_tied() -> None:
    found = by_name(made(arms({"stock": LOST["stock"], "gelu": LOST["stock"]})))["gelu"]
    assert (found.outcome, found.ci_holm, found.tied) == ("not told apart", (0.0, 0.0), ["stock"])


def test_a_difference_that_is_certain_and_does_not_matter_is_said_to_be_within_the_margin() -> None:
    report = made(margins={"accuracy": "2.0pp"})
    found = by_name(report)
    assert {name: each.within_margin for name, each in found.items()} == {
        "stock": False,
        "gelu_tanh": True,
        "silu": True,
        "relu": False,
    }
    assert report.ablation
    assert ablation_sentences(report.ablation)[0] == (
        "relu: worse than stock; silu: worse than stock (within the margin of 2 pp); "
        "gelu_tanh: not told apart from stock (within the margin of 2 pp)"
    )
    assert [row[-1] for row in ranking_table(report.ablation).rows][2] == "worse, within the margin"
    assert not by_name(made(margins={"accuracy": "0.1pp"}))["silu"].within_margin


def test_how_the_arms_trained() -> None:
    found = arms({"stock": [1, 2, 3], "relu": [2, 2, 5]})
    for seed, run in enumerate(found["relu"].runs):
        assert run.report.training
        trained = run.report.training.per_seed[0]
        trained.loss_auc, trained.grad_norm_largest, trained.nan_steps = 0.5 + 0.1 * seed, 2.0 + seed, seed
        trained.target_loss, trained.steps_to_target = 0.4, None if seed == 2 else 60 + 20 * seed
    for run in found["stock"].runs:
        assert run.report.training
        run.report.training.per_seed[0].target_loss = 0.4
    report = made(found)
    relu = by_name(report)["relu"]
    assert (relu.loss_auc, relu.grad_norm_largest, relu.nan_steps) == (pytest.approx(0.6), 4.0, 3)
    assert (relu.steps_to_target, relu.reached_target) == (70.0, 2)
    assert report.ablation
    table = stability_table(report.ablation)
    assert table.header[3] == "steps to loss 0.4"
    assert [row[3] for row in table.rows] == ["not reached", "70 (2 of 3 seeds)"]


def test_every_format_has_the_ranking() -> None:
    report = made()
    assert report.ablation
    console = Console(width=120, file=io.StringIO())
    console.print(ablation_view(report.ablation))
    page = html_report(report)
    for text in (console.file.getvalue(), markdown_report(report), page):
        assert "gelu_tanh: not told apart from stock" in text
        assert "relu: worse than stock; silu: worse than stock (within the margin of 1 pp)" in text
        assert "CI (Holm)" in text
    assert page.index("Ranking by accuracy") < page.index("DO NOT SHIP")


def test_a_report_of_before_has_no_ablation() -> None:
    assert Report(kind="compare", run_id="a", created="b").ablation is None
