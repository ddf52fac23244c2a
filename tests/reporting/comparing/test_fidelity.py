"""How far outputs move, beside a change that means nothing; and the examples that flipped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gelu_patch.errors import DataError
from gelu_patch.reporting.comparing.compare import compare_runs
from gelu_patch.reporting.comparing.fidelity import divergence, fidelity, layer_errors
from gelu_patch.reporting.comparing.flips import MOST, flips
from gelu_patch.reporting.storage.drift import Drift
from gelu_patch.reporting.storage.predictions import Predictions
from gelu_patch.reporting.storage.run_folder import DRIFT, NOISE, RunFolder
from tests.reporting import made_up

BASE = made_up.predictions(300, wrong=30)


def drift(moved: float, *, noise: float | None = None, ids: int = 4) -> Drift:
    draw = np.random.default_rng(0)
    base = [draw.normal(size=(ids, 8)).astype(np.float32) for _ in range(3)]

    def off(by: float) -> list[np.ndarray]:
        return [(layer * (1 + by * depth)).astype(np.float32) for depth, layer in enumerate(base)]

    return Drift([f"ex-{i}" for i in range(ids)], off(moved), None if noise is None else off(noise))


def test_the_error_of_a_layer_is_relative_to_its_length() -> None:
    errors = layer_errors(drift(0.0).own, drift(0.01).own)
    assert errors == pytest.approx([0, 0.01, 0.02], rel=1e-3)


def test_a_layer_of_zeros_has_no_error_and_other_depths_are_not_compared() -> None:
    zeros = [np.zeros((2, 3), np.float32)]
    assert layer_errors(zeros, zeros) == [0.0]
    assert layer_errors(zeros, [*zeros, *zeros]) == []


def test_the_noise_arm_stands_beside_the_candidate() -> None:
    noise = made_up.predictions(300, wrong=30, noise=1e-5)
    found = fidelity(
        BASE,
        made_up.predictions(300, wrong=30, b=3, noise=0.1),
        noise=noise,
        drift_before=drift(0.0, noise=0.001),
        drift_after=drift(0.01),
    )
    assert found.noise is not None
    assert found.noise.top1_agreement == 1.0
    assert found.noise.kl_mean == pytest.approx(divergence(BASE, noise).mean())
    assert found.kl_mean is not None
    assert found.noise.kl_mean is not None
    assert found.kl_mean > 100 * found.noise.kl_mean
    assert found.per_layer_rel_err == pytest.approx([0, 0.01, 0.02], rel=1e-3)
    assert found.noise.per_layer_rel_err == pytest.approx([0, 0.001, 0.002], rel=1e-2)
    assert found.dlogit_histogram is not None
    assert sum(found.dlogit_histogram.counts) + found.dlogit_histogram.zeros == 300


def test_noise_on_some_of_the_examples_is_held_against_those() -> None:
    noise = made_up.predictions(300, wrong=30, noise=1e-5)
    rows = [7, 3, 250]
    part = Predictions(
        [noise.ids[i] for i in rows], noise.class_labels[rows], noise.class_logits[rows], np.array([12] * 3)
    )
    found = fidelity(BASE, BASE, noise=part).noise
    assert found is not None
    assert found.kl_mean == pytest.approx(divergence(BASE, noise)[rows].mean())
    with pytest.raises(DataError, match="'strange'"):
        fidelity(BASE, BASE, noise=replace(part, ids=["strange", "ex-3", "ex-250"]))


def test_drift_of_other_examples_is_left_out() -> None:
    assert fidelity(BASE, BASE, drift_before=drift(0), drift_after=drift(0, ids=3)).per_layer_rel_err == []


def test_a_run_folder_brings_its_noise_and_its_drift(tmp_path: Path) -> None:
    runs = made_up.run(), made_up.run("fused", noise=1e-6)
    folders = []
    for name, run in zip(("base", "cand"), runs, strict=True):
        folder = RunFolder.create(tmp_path / name)
        folder.write_predictions(run.predictions)
        folder.write_report(run.report)
        drift(0.0 if name == "base" else 0.01, noise=0.001).save(folder.path / DRIFT)
        folders.append(RunFolder.open(folder.path))
    made_up.predictions(2000, wrong=200, noise=1e-5).save(folders[0].path / NOISE)
    found = compare_runs(*folders).fidelity
    assert found is not None
    assert found.noise is not None
    assert found.noise.max_abs_dlogit is not None
    assert len(found.per_layer_rel_err) == len(found.noise.per_layer_rel_err) == 3


def test_answers_without_logits_have_an_agreement_only() -> None:
    label = np.zeros(10, np.int64)
    one = Predictions([f"q{i}" for i in range(10)], label=label, choice=label)
    other = replace(one, choice=np.array([1] + [0] * 9))
    found = fidelity(one, other)
    assert (found.top1_agreement, found.kl_mean) == (0.9, None)
    assert [flip.id for flip in flips(one, other)] == ["q0"]


def test_flips_name_what_was_said_and_come_worst_first() -> None:
    after = made_up.predictions(300, wrong=30, b=12, c=5)
    texts = [f"sentence {i} " + "x" * 300 for i in range(300)]
    found = flips(replace(BASE, text=texts), after, ("negative", "positive"))
    kl = divergence(BASE, after)
    changed = [i for i in range(300) if BASE.pred[i] != after.pred[i]]
    assert len(found) == 17
    assert [flip.kl for flip in found] == pytest.approx(sorted((kl[i] for i in changed), reverse=True))
    first, i = found[0], max(changed, key=lambda each: kl[each])
    assert first.id == f"ex-{i}"
    assert first.label == ("negative", "positive")[i % 2]
    assert {first.baseline, first.candidate} == {"negative", "positive"}
    assert first.baseline_margin == pytest.approx(BASE.margin[i])
    assert first.text is not None
    assert len(first.text) == 200


def test_at_most_fifty_flips_are_kept() -> None:
    assert len(flips(BASE, made_up.predictions(300, wrong=30, b=120))) == MOST
    assert flips(BASE, BASE) == []
