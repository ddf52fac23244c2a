"""Whole comparisons of made-up runs, from predictions to the verdict."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from gelu_patch.errors import UsageError
from gelu_patch.reporting.comparing.arms import CURVE_POINTS
from gelu_patch.reporting.comparing.compare import compare_runs, comparison_report
from gelu_patch.reporting.storage.predictions import Predictions
from gelu_patch.reporting.storage.run_folder import RunFolder
from gelu_patch.stats.paired import mcnemar_p, tango_interval
from tests.reporting import made_up


def test_flips_interval_and_fidelity_are_those_of_the_predictions() -> None:
    found = compare_runs(made_up.run(), made_up.run("relu", b=12, c=7))
    accuracy, nll = found.results[:2]
    assert [each.metric for each in found.results[2:]] == ["f1", "matthews_correlation"]
    assert (accuracy.b, accuracy.c, accuracy.n) == (12, 7, 2000)
    assert accuracy.diff == pytest.approx(-5 / 2000)
    assert accuracy.ci == tango_interval(12, 7, 2000)
    assert accuracy.p_difference == mcnemar_p(12, 7)
    assert found.fidelity is not None
    assert found.fidelity.top1_agreement == pytest.approx(1 - 19 / 2000)
    assert nll.diff == pytest.approx((nll.baseline or 0) - (nll.candidate or 0))
    assert nll.diff < 0, "a higher loss is worse, and worse is negative"


def test_fidelity_is_the_kl_divergence_written_out() -> None:
    one, other = made_up.run(n=50, wrong=5), made_up.run("x", n=50, wrong=5, noise=0.3)
    p, q = (np.exp(run.predictions.log_probabilities) for run in (one, other))
    divergence = [sum(p[i, k] * np.log(p[i, k] / q[i, k]) for k in range(2)) for i in range(50)]
    fidelity = compare_runs(one, other).fidelity
    assert fidelity is not None
    assert fidelity.kl_mean == pytest.approx(np.mean(divergence))
    assert fidelity.kl_p99 == pytest.approx(np.quantile(divergence, 0.99))
    assert fidelity.max_abs_dlogit == pytest.approx(np.abs(one.predictions.logits - other.predictions.logits).max())


def test_identical_runs_are_identical_and_too_few_of_them_are_still_too_few() -> None:
    assert compare_runs(made_up.run(), made_up.run("same")).headline.startswith("NO GAIN: IDENTICAL ON THIS DATA")
    few = compare_runs(made_up.run(n=300, wrong=30), made_up.run("same", n=300, wrong=30))
    assert few.headline.startswith("INCONCLUSIVE: IDENTICAL ON THIS DATA, but too few examples")
    assert few.exit_code == 3


def test_a_harmful_swap_must_not_ship() -> None:
    found = compare_runs(made_up.run(), made_up.run("relu", b=200))
    assert (found.verdict, found.exit_code) == ("DO NOT SHIP", 1)


def test_a_loss_carried_by_few_examples_is_refused() -> None:
    base, cand = made_up.run(), made_up.run("x")
    logits = cand.predictions.logits.copy()
    logits[:4] *= 50  # four wrong answers become absurdly sure of themselves
    cand.predictions = Predictions(cand.predictions.ids, base.predictions.label, logits, base.predictions.n_tokens)
    nll = compare_runs(base, cand).results[1]
    assert (nll.ci, nll.state) == (None, "INCONCLUSIVE")
    assert "examples" in nll.warnings[0]


def test_rounding_noise_in_few_examples_is_no_reason_to_refuse() -> None:
    base, cand = made_up.run(), made_up.run("x")
    logits = cand.predictions.logits.copy()
    logits[:4] *= 1.0001
    cand.predictions = Predictions(cand.predictions.ids, base.predictions.label, logits, base.predictions.n_tokens)
    nll = compare_runs(base, cand).results[1]
    assert nll.state == "NON_INFERIOR"
    assert nll.method == "range of the differences"


def test_the_margin_decides() -> None:
    base, cand = made_up.run(), made_up.run("x", b=30, c=10)
    assert compare_runs(base, cand, margins={"accuracy": "2pp", "nll": "0.05"}).results[0].state == "NON_INFERIOR"
    assert compare_runs(base, cand, margins={"accuracy": "0.1pp"}).results[0].state == "INFERIOR"


def test_latency_and_memory_of_the_same_session_can_ship_it() -> None:
    base, cand = made_up.run(), made_up.run("fused", noise=1e-6)
    base.report.latency, cand.report.latency = [made_up.latency()], [made_up.latency(0.95)]
    base.report.memory, cand.report.memory = [made_up.memory(64 << 20)], [made_up.memory(48 << 20)]
    found = compare_runs(base, cand)
    assert (found.verdict, found.latency[0].state, found.memory[0].state) == ("SHIP", "FASTER", "SMALLER")
    assert found.latency[0].baseline_p50 == base.report.latency[0].p50


def test_times_without_a_ratio_are_never_divided() -> None:
    base, cand = made_up.run(), made_up.run("fused")
    base.report.latency = cand.report.latency = [made_up.latency()]
    assert compare_runs(base, cand).latency == []


def test_memory_of_another_phase_is_not_compared() -> None:
    base, cand = made_up.run(), made_up.run("fused")
    base.report.memory, cand.report.memory = [made_up.memory(9, phase="forward")], [made_up.memory(9)]
    assert compare_runs(base, cand).memory == []


def test_another_machine_takes_the_latency_out_and_says_so() -> None:
    base, cand = made_up.run(), made_up.run("fused")
    cand.report.latency = [made_up.latency(0.95)]
    cand.report.environment.cpu = "Epyc"
    found = compare_runs(base, cand)
    assert found.latency == []
    assert "cpu: Xeon -> Epyc" in found.differences
    assert any("different machines" in difference for difference in found.differences)


def test_one_run_of_trained_arms_is_preliminary_however_many_seeds_its_report_lists() -> None:
    base, cand = made_up.run(seeds=5), made_up.run("x", seeds=5, weights="w1", noise=1e-4)
    assert compare_runs(base, cand).verdict == "PRELIMINARY"


def test_a_swap_of_trained_weights_needs_no_seeds() -> None:
    assert compare_runs(made_up.run(seeds=1), made_up.run("x", seeds=1)).verdict == "NO GAIN"


def test_a_harmful_retraining_must_not_ship_however_few_its_seeds() -> None:
    cand = made_up.run("relu", seeds=1, weights="w1", b=200)
    assert compare_runs(made_up.run(seeds=1), cand).verdict == "DO NOT SHIP"


def test_a_hundred_thousand_predictions_take_less_than_five_seconds() -> None:
    base = made_up.run(n=100_000, wrong=9_000)
    cand = made_up.run("x", n=100_000, wrong=9_000, b=2_000, c=1_500, noise=0.1)
    started = time.process_time()  # of this process: others on the machine do not count
    compare_runs(base, cand)
    assert time.process_time() - started < 5


def test_the_report_stands_alone(tmp_path: Path) -> None:
    runs = [made_up.run(seeds=1), made_up.run("relu", b=3), made_up.run("relu", b=4)]
    comparisons = [compare_runs(runs[0], run) for run in runs[1:]]
    report = comparison_report("two swaps", runs, comparisons, notes=["a note"])
    assert [arm.name for arm in report.arms] == ["stock", "relu", "relu (2)"]
    assert report.arms[0].training is not None
    curve = report.arms[0].training.per_seed[0].curve
    assert (len(curve), curve[0].step, curve[-1].step) == (CURVE_POINTS, 1, 900)
    assert (report.comparison, report.verdict) == (comparisons[0], comparisons[0].verdict)
    assert len(runs[0].report.training.per_seed[0].curve) == 900, "the run itself is not touched"
    folder = RunFolder.create(tmp_path / "out")
    folder.write_report(report)
    assert RunFolder.open(folder.path).report == report


def test_a_report_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one comparison"):
        comparison_report("nothing", [made_up.run()], [])
