"""Arms of several seeds: the seed is the unit, and a diverged run is shown and never dropped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gelu_patch.errors import DataNotFound, NotComparable
from gelu_patch.reporting.comparing.arms import SeedRuns, open_arm
from gelu_patch.reporting.comparing.compare import compare_runs
from gelu_patch.reporting.outcome import compare
from gelu_patch.reporting.policy.margins import make_policy
from gelu_patch.reporting.storage.predictions import Predictions
from gelu_patch.reporting.storage.run_folder import RunFolder
from gelu_patch.stats.seeds import seed_paired_t
from tests.reporting import made_up
from tests.reporting.made_up import MadeUpRun


def arm(target: str, lost: list[int], *, weights: str = "w", won: int = 0) -> SeedRuns:
    """One run per entry of ``lost``, the number of predictions that this seed gets wrong beyond the usual 200."""
    runs = []
    for seed, count in enumerate(lost):
        run = made_up.run(target, seeds=1, weights=f"{weights}{seed}", b=count, c=won)
        assert run.report.training
        run.report.training.per_seed[0].seed = seed
        run.report.training.per_seed[0].curve = []
        runs.append(run)
    return SeedRuns(runs)


def test_the_interval_is_students_over_the_seeds_and_not_over_the_examples() -> None:
    base, cand = arm("stock", [0, 4, 2, 6, 3]), arm("relu", [5, 2, 9, 6, 8], weights="x")
    accuracy = compare_runs(base, cand).results[0]
    values = [[(1800 - lost) / 2000 for lost in arm] for arm in ([0, 4, 2, 6, 3], [5, 2, 9, 6, 8])]
    assert accuracy.ci == pytest.approx(seed_paired_t(*values).interval)
    assert (accuracy.unit, accuracy.n, accuracy.method) == ("seed", 5, "t over paired seeds")
    assert accuracy.per_seed == pytest.approx(np.subtract(values[1], values[0]).tolist())
    assert accuracy.b is None


@pytest.mark.parametrize(
    ("seeds", "verdict"), [(2, "INCONCLUSIVE"), (3, "PRELIMINARY"), (4, "PRELIMINARY"), (5, "NO GAIN"), (6, "NO GAIN")]
)
def test_five_seeds_are_needed(seeds: int, verdict: str) -> None:
    base, cand = arm("stock", [0, 1, 0, 1, 0, 1][:seeds]), arm("fused", [1, 1, 0, 0, 0, 1][:seeds], weights="x")
    assert compare_runs(base, cand).verdict == verdict


def test_the_policy_says_how_many_seeds_are_needed() -> None:
    base, cand = arm("stock", [0, 1, 0, 1, 0]), arm("fused", [1, 1, 0, 0, 0], weights="x")
    assert compare_runs(base, cand, policy=make_policy(minimum_seeds=6)).verdict == "PRELIMINARY"


def test_a_loss_has_the_sign_of_worse_as_well() -> None:
    results = compare_runs(arm("stock", [0] * 5), arm("relu", [90, 95, 88, 91, 99], weights="x")).results
    by_name = {result.metric: result for result in results}
    assert by_name["nll"].diff < 0
    assert (by_name["accuracy"].state, by_name["nll"].state) == ("INFERIOR", "INFERIOR")


def test_seeds_that_scatter_say_how_many_are_needed() -> None:
    found = compare_runs(arm("stock", [0, 30, 5, 22, 11]), arm("relu", [25, 3, 30, 1, 19], weights="x"))
    assert found.verdict == "INCONCLUSIVE"
    assert found.results[0].n_needed_80 is not None
    assert f"about {found.results[0].n_needed_80} seeds give 80 % power" in found.headline


def diverge(run: MadeUpRun, *, answers: bool = False) -> None:
    assert run.report.training
    run.report.training.per_seed[0].diverged = True
    if not answers:
        logits = np.full_like(run.predictions.class_logits, np.nan)
        run.predictions = replace(run.predictions, logits=logits)


def test_a_diverged_run_is_shown_and_not_dropped() -> None:
    base, cand = arm("stock", [0, 1, 0, 1, 0]), arm("relu", [0, 1, 0, 1, 0], weights="x")
    diverge(cand.runs[3])  # type: ignore[arg-type]
    found = compare_runs(base, cand)
    assert found.divergence is not None
    assert (found.divergence.candidate, found.divergence.of_candidate, found.divergence.p) == (1, 5, 1.0)
    assert (found.results[0].ci, found.verdict) == (None, "INCONCLUSIVE")
    assert "1 of 5 pairs of seeds have a run that diverged" in found.headline
    assert any("diverged runs: baseline 0 of 5, candidate 1 of 5" in reason for reason in found.reasons)


def test_a_diverged_run_that_answers_counts_with_its_answers() -> None:
    base, cand = arm("stock", [0, 1, 0, 1, 0]), arm("relu", [0, 1, 0, 800, 0], weights="x")
    diverge(cand.runs[3], answers=True)  # type: ignore[arg-type]
    found = compare_runs(base, cand)
    assert found.results[0].per_seed[3] == pytest.approx(-799 / 2000)
    assert found.divergence is not None
    assert found.divergence.candidate == 1


def test_training_that_diverges_every_time_must_not_ship() -> None:
    base, cand = arm("stock", [0, 1, 0, 1, 0]), arm("relu", [0, 1, 0, 1, 0], weights="x")
    for run in cand.runs:
        diverge(run, answers=True)  # type: ignore[arg-type]
    found = compare_runs(base, cand)
    assert (found.verdict, found.exit_code) == ("DO NOT SHIP", 1)
    assert "candidate 5 of 5 (Fisher exact p = 0.0079)" in found.headline


def test_seeds_are_paired_and_a_seed_counts_once() -> None:
    base, cand = arm("stock", [0] * 5), arm("relu", [0] * 4, weights="x")
    with pytest.raises(NotComparable, match="different seeds"):
        compare_runs(base, cand)
    twice = SeedRuns([*base.runs, base.runs[0]])
    with pytest.raises(NotComparable, match="two runs of seed 0"):
        compare_runs(twice, twice)


def test_every_pair_must_be_comparable() -> None:
    base, cand = arm("stock", [0] * 5), arm("relu", [0] * 5, weights="x")
    other = cand.runs[4]
    assert other.report.data
    other.report.data.tokenizer_sha256 = "c" * 64
    with pytest.raises(NotComparable, match="tokenizers"):
        compare_runs(base, cand)


def save(run: SeedRuns, folder: Path) -> Path:
    for seed, each in enumerate(run.runs):
        saved = RunFolder.create(folder / f"seed-{seed}")
        saved.write_predictions(each.predictions)
        saved.write_report(each.report)
    return folder


def test_a_directory_or_a_pattern_of_run_folders_is_one_arm(tmp_path: Path) -> None:
    base = save(arm("stock", [0, 1, 0, 1, 0]), tmp_path / "stock")
    cand = save(arm("relu", [3, 1, 0, 1, 2], weights="x"), tmp_path / "relu")
    by_folder, by_pattern = compare(base, cand), compare(base, f"{cand}/seed-*")
    assert by_folder.comparison.results == by_pattern.comparison.results
    assert by_folder.comparison.results[0].n == 5
    assert by_folder.report.arms[1].training is not None
    assert len(by_folder.report.arms[1].training.per_seed) == 5
    listed = compare([base / f"seed-{k}" for k in range(5)], cand)
    assert listed.comparison.results == by_folder.comparison.results


def test_a_directory_without_runs_is_none(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "none-*"):
        with pytest.raises(DataNotFound, match="not a finished run"):
            open_arm(path)


def test_language_models_are_compared_by_seed_too() -> None:
    arms = []
    for target, worse in (("stock", 0.0), ("relu", 0.02)):
        runs = []
        for seed in range(5):
            losses = 3 + np.random.default_rng(seed).normal(size=50) + worse
            run = made_up.run(target, seeds=1, weights=f"{target}{seed}")
            assert run.report.training
            run.report.training.per_seed[0].seed = seed
            run.predictions = Predictions([f"d{i}" for i in range(50)], losses=losses, n_tokens=np.full(50, 9))
            runs.append(run)
        arms.append(SeedRuns(runs))
    (nll,) = compare_runs(*arms).results
    assert (nll.primary, nll.unit, nll.state) == (True, "seed", "INFERIOR")
    assert nll.diff == pytest.approx(-0.02)
