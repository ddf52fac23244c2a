"""Ablations of tiny models: run, stopped, gone on with, refused, and one arm that diverges."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gelu_patch.errors import DataError, Interrupted, NothingToPatch, OutputExists, UnknownName, UsageError
from gelu_patch.reporting.comparing.arms import SeedRuns, open_arm, runs_of
from gelu_patch.reporting.storage.run_folder import RunFolder
from gelu_patch.runs import ablation as module
from gelu_patch.runs import train as training
from gelu_patch.runs.ablation import ablate
from gelu_patch.runs.ablation_plan import AblationPlan
from gelu_patch.runs.progress import Silent
from gelu_patch.training.log import read_log
from tests.tasks.tiny import save_tiny, save_tiny_bert, tiny_documents, tiny_examples

ROOT = Path(__file__).parents[2]


def write(path: Path, n: int) -> str:
    found = tiny_examples(n)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "text", "label"))
        writer.writerows(zip(found.ids, found.texts, found.labels, strict=True))
    return str(path)


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    root = tmp_path_factory.mktemp("given")
    return {
        "model_name_or_path": str(save_tiny_bert(root / "bert", dropout=0.1)),
        "train_file": write(root / "train.csv", 24),
        "test_file": write(root / "test.csv", 30),
        "activations": ["stock", "relu"],
        "seeds": [0, 1],
        "recipe": {"learning_rate": 1e-3, "num_train_epochs": 2, "checkpointing_steps": 2},
    }


@pytest.fixture(scope="module")
def finished(given, tmp_path_factory):
    """A finished ablation; do not write into it."""
    out = tmp_path_factory.mktemp("finished")
    return ablate(given | {"output_dir": out})


class Notes(Silent):
    def __init__(self):
        self.lines = []

    def note(self, line):
        self.lines.append(line)


def states(given, out):
    return [run.state for run in AblationPlan.of(given | {"output_dir": out}).runs()]


def stop_after(monkeypatch, steps):
    """Ctrl-C after so many optimizer steps of all runs together."""
    real, left = training.finetune, [steps]

    def stopped(*arguments, on_step, **options):
        def step(record, total):
            on_step(record, total)
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt

        return real(*arguments, on_step=step, **options)

    monkeypatch.setattr(training, "finetune", stopped)


def test_every_run_is_a_folder_as_train_and_eval_make_it(given, finished):
    for activation in ("stock", "relu"):
        arm = open_arm(finished.path / activation)
        assert isinstance(arm, SeedRuns)
        assert [len(run.predictions) for run in runs_of(arm)] == [30, 30]
        assert {run.report.subject.patch.target for run in runs_of(arm)} == {activation}
    run = finished.path / "relu" / "seed-1"
    assert len(read_log(run / "training_log.jsonl")) == 6
    assert (run / "model").is_dir()
    assert not (run / "checkpoints").exists()
    assert {path.name for path in finished.path.iterdir()} >= {"report.json", "report.md", "report.html", "run.log"}
    report = finished.report
    assert report.kind == "ablate"
    assert [arm.name for arm in report.arms] == ["stock", "relu"]
    assert {arm.seeds for arm in report.ablation.arms} == {2}
    assert all(arm.grad_norm_largest and arm.near_zero is not None for arm in report.ablation.arms)
    assert all(each.n == 2 for arm in report.arms for each in arm.quality)


def test_arms_are_paired_by_their_seed(finished):
    """The same head, batches and dropout: before the first update nothing but the activation differs."""
    first = {
        (name, seed): read_log(finished.path / name / f"seed-{seed}" / "training_log.jsonl")[0]["loss"]
        for name in ("stock", "relu")
        for seed in (0, 1)
    }
    for seed in (0, 1):
        assert first["stock", seed] == pytest.approx(first["relu", seed], abs=0.02)
    assert abs(first["stock", 0] - first["stock", 1]) > 1e-4


def test_a_finished_ablation_is_kept_and_only_its_report_written(given, finished, monkeypatch):
    spec = given | {"output_dir": finished.path}
    with pytest.raises(OutputExists, match="holds 4 of the 4 runs") as caught:
        ablate(spec)
    assert "--resume" in caught.value.next_step
    monkeypatch.setattr(module, "train_seed", None)
    monkeypatch.setattr(module, "evaluate_seed", None)
    monkeypatch.setattr(module, "load_for_training", None)
    before = finished.report.ablation
    (finished.path / "report.json").unlink()
    assert ablate(spec, resume=True).report.ablation == before


def test_the_target_loss_may_be_chosen_afterwards(given, finished):
    assert finished.report.ablation.target_loss == pytest.approx(
        sum(run.final_loss for run in finished.report.arms[0].training.per_seed) / 2
    )
    chosen = {**given["recipe"], "target_loss": 100.0}
    plan = AblationPlan.of(given | {"output_dir": finished.path, "recipe": chosen})
    assert {run.state for run in plan.runs()} == {"finished"}


def test_more_seeds_and_activations_are_added_to_what_is_there(given, tmp_path):
    small = given | {"output_dir": tmp_path, "seeds": [0], "recipe": {**given["recipe"], "max_train_steps": 1}}
    ablate(small)
    large = small | {"seeds": [0, 1], "activations": ["stock", "relu", "silu"]}
    assert states(large, tmp_path) == ["finished", "finished", "to do", "to do", "to do", "to do"]
    notes = Notes()
    report = ablate(large, resume=True, progress=notes).report
    assert [line.split(":")[0] for line in notes.lines] == [
        "[3/6] silu, seed 0",
        "[4/6] stock, seed 1",
        "[5/6] relu, seed 1",
        "[6/6] silu, seed 1",
    ]
    assert [arm.seeds for arm in report.ablation.arms] == [2, 2, 2]


def test_ctrl_c_and_the_same_with_resume(given, finished, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        stop_after(patched, 6 + 5)  # in the second run
        with pytest.raises(Interrupted, match="1 of 4 runs are finished") as caught:
            ablate(given, tmp_path)
    assert caught.value.exit_code == 130
    assert "--resume" in caught.value.next_step
    assert states(given, tmp_path) == ["finished", "interrupted", "to do", "to do"]
    with pytest.raises(OutputExists, match="holds 2 of the 4 runs"):
        ablate(given, tmp_path)
    again = ablate(given, tmp_path, resume=True)
    assert any("goes on after step 4" in line for line in RunFolder(tmp_path / "relu" / "seed-0").report.warnings)
    for old, new in zip(finished.report.ablation.arms, again.report.ablation.arms, strict=True):
        assert new == old


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (
            {"recipe": {"learning_rate": 2e-3}},
            "recipe.learning_rate is 0.001 there and 0.002 here",
        ),
        ({"memory": "speed"}, "memory is 'balanced' there and 'speed' here"),
    ],
)
def test_a_folder_with_another_recipe_is_refused_before_anything_is_run(given, finished, changes, why):
    with pytest.raises(OutputExists, match="another job") as caught:
        ablate(given | changes, finished.path, resume=True)
    assert why in str(caught.value)


def test_an_interrupted_run_of_another_recipe_is_refused_too(given, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        stop_after(patched, 5)
        with pytest.raises(Interrupted):
            ablate(given, tmp_path)
    with pytest.raises(OutputExists, match="another job"):
        ablate(given | {"recipe": {"num_train_epochs": 2, "checkpointing_steps": 2}}, tmp_path, resume=True)


def test_runs_of_another_number_of_processes_do_not_mix(given, tmp_path):
    quick = given | {"seeds": [0], "recipe": {"max_train_steps": 1}}
    ablate(quick, tmp_path)
    run = RunFolder(tmp_path / "stock" / "seed-0")
    run.report.training.processes = 2
    run.write_report(run.report)
    assert ablate(quick, tmp_path, resume=True).report.ablation  # nothing is left to train
    with pytest.raises(OutputExists, match="another number of processes"):
        ablate(quick | {"seeds": [0, 1]}, tmp_path, resume=True)


def test_a_folder_of_something_else(given, finished):
    with pytest.raises(OutputExists, match="a report of kind 'train'"):
        ablate(given, finished.path / "stock" / "seed-0", resume=True)


def test_overwriting_makes_all_anew(given, tmp_path):
    quick = given | {"seeds": [0], "recipe": {"max_train_steps": 1}}
    ablate(quick, tmp_path)
    other = quick | {"recipe": {"max_train_steps": 2}}
    report = ablate(other, tmp_path, overwrite=True).report
    assert {run.steps for arm in report.arms for run in arm.training.per_seed} == {2}


def test_another_test_file_is_scored_without_training(given, tmp_path, monkeypatch):
    quick = given | {"seeds": [0], "recipe": {"max_train_steps": 1}}
    ablate(quick, tmp_path)
    other = quick | {"test_file": write(tmp_path / "other.csv", 20)}
    assert states(other, tmp_path) == ["trained", "trained"]
    monkeypatch.setattr(module, "train_seed", None)
    ablate(other, tmp_path, resume=True)
    assert len(RunFolder(tmp_path / "relu" / "seed-0").predictions) == 20


def test_models_that_nobody_wants_are_removed_and_the_rest_is_enough(given, tmp_path):
    quick = given | {"seeds": [0], "recipe": {"max_train_steps": 1}, "keep_models": False}
    ablate(quick, tmp_path)
    assert not list(tmp_path.rglob("*.safetensors"))
    assert ablate(quick, tmp_path, resume=True).report.ablation


def test_an_arm_that_diverges_is_last_and_the_others_go_on(given, tmp_path, monkeypatch):
    real = training.finetune

    def exploding(model, data, recipe, **options):
        if "relu" in str(options["log_path"]) and recipe.seed == 0:
            recipe = recipe.model_copy(update={"learning_rate": 1e38, "max_grad_norm": 1e30})
        return real(model, data, recipe, **options)

    monkeypatch.setattr(training, "finetune", exploding)
    longer = {**given["recipe"], "num_train_epochs": 10}
    report = ablate(given | {"recipe": longer}, tmp_path).report
    assert [(arm.name, arm.outcome, arm.diverged) for arm in report.ablation.arms] == [
        ("stock", "baseline", 0),
        ("relu", "diverged", 1),
    ]
    assert report.ablation.arms[1].nan_steps == 5
    assert report.exit_code == 0
    assert "relu: 1 of its runs diverged" in report.warnings
    assert "diverged" in (tmp_path / "report.md").read_text()
    assert states(given | {"recipe": longer}, tmp_path) == ["finished"] * 4


def test_language_models(tmp_path):
    model = save_tiny(tmp_path / "gpt2", "causal-lm")
    for name, n in (("train.txt", 12), ("test.txt", 6)):
        (tmp_path / name).write_text("\n\n".join(tiny_documents(n).texts))
    spec = {
        "model_name_or_path": str(model),
        "task": "causal-lm",
        "train_file": str(tmp_path / "train.txt"),
        "test_file": str(tmp_path / "test.txt"),
        "activations": ["silu", "gelu"],
        "seeds": [0, 1],
        "recipe": {"block_size": 16, "max_train_steps": 2},
        "keep_models": False,
    }
    report = ablate(spec, tmp_path / "out").report
    assert report.ablation.metric == "nll"
    assert not report.ablation.higher_is_better
    means = [arm.mean for arm in report.ablation.arms]
    assert means == sorted(means)
    assert len(report.ablation.arms) == 3
    assert states(spec, tmp_path / "out") == ["finished"] * 6  # also without the models, which are needed no more


def test_what_an_arm_would_raise_is_raised_before_the_first_one_is_trained(given, tmp_path):
    (tmp_path / "labels.csv").write_text("text,label\ngood film,sideways\n")
    for changes, error in (
        ({"where": ["nowhere.*"]}, NothingToPatch),
        ({"test_file": str(tmp_path / "labels.csv")}, DataError),
        ({"task": "translation"}, UnknownName),
    ):
        with pytest.raises(error):
            ablate(given | changes, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_second_one_in_the_same_folder_is_refused(given, tmp_path):
    from gelu_patch.reporting.storage.lock import run_lock

    with run_lock(tmp_path), pytest.raises(OutputExists, match="a run is going on"):
        ablate(given, tmp_path)
    with pytest.raises(UsageError):
        ablate(given)  # nowhere


@pytest.mark.slow
def test_killed_and_gone_on_with(given, finished, tmp_path):
    import yaml

    spec = tmp_path / "ablation.yaml"
    spec.write_text(yaml.safe_dump(given | {"output_dir": str(tmp_path / "out")}))
    command = [sys.executable, "-m", "gelu_patch", "ablate", str(spec), "--resume", "--quiet"]
    log = tmp_path / "out" / "relu" / "seed-0" / "training_log.jsonl"
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (log.is_file() and log.read_text().count("\n") >= 3) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert "finished" in states(given, tmp_path / "out")
    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0
    for old, new in zip(finished.report.ablation.arms, RunFolder(tmp_path / "out").report.ablation.arms, strict=True):
        assert new == old
