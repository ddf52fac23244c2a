"""Each verb as a person types it, on a tiny checkpoint."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import yaml

from gelu_patch.reporting.storage.run_folder import RunFolder
from gelu_patch.training.log import read_log
from tests.cli.conftest import write_csv


def test_inspect(cli, checkpoint):
    done = cli("inspect", checkpoint)
    assert done.code == 0
    assert "encoder.layer.[0-1].intermediate.intermediate_act_fn" in done.out
    assert "2 GELU sites, 2 of them executed in a run" in done.out


def test_inspect_as_json_with_a_plan(cli, checkpoint):
    done = cli("inspect", checkpoint, "--to", "relu", "--where", "layer.0.*", "--json")
    content = json.loads(done.out)
    assert [site["executions"] for site in content["sites"]] == [1, 1]
    assert [change["after"] for change in content["plan"]["changes"]] == ["relu"]
    assert content["plan"]["rejected"][0]["reason"] == "outside where"


@pytest.mark.usefixtures("eager_only")
def test_the_whole_way(cli, checkpoint, table, tmp_path):
    """train stock, train fused, eval both on a test file, compare: the commands of the README."""
    for activation in ("stock", "gelu_fused"):
        done = cli(
            *("train", "--model_name_or_path", checkpoint, "--train_file", table, "--validation_file", table),
            *("--activation", activation, "--output_dir", tmp_path / activation, "--num_train_epochs", "1"),
        )
        assert done.code == 0, done.err
        assert "accuracy" in done.out
        done = cli("eval", tmp_path / activation, "--test_file", table)
        assert done.code == 0, done.err
    fused = RunFolder.open(tmp_path / "gelu_fused")
    assert fused.report.subject.patch.target == "gelu_fused"
    assert fused.report.subject.patch.n_patched == 2
    assert fused.report.training.per_seed[0].steps == len(read_log(fused.path / "training_log.jsonl"))
    done = cli("compare", tmp_path / "stock", tmp_path / "gelu_fused")
    assert done.code == 3, done.out
    lines = done.out.splitlines()
    assert any(line.startswith("accuracy ") and line.rstrip().endswith("INCONCLUSIVE (identical)") for line in lines)
    (verdict,) = (line for line in lines if line.startswith("VERDICT"))
    assert verdict.startswith("VERDICT   INCONCLUSIVE: IDENTICAL ON THIS DATA, but too few examples")
    assert lines[-1] == f"report: {tmp_path / 'gelu_fused' / 'compare' / 'report.html'}"
    assert (tmp_path / "gelu_fused" / "compare" / "report.html").is_file()


def test_flags_may_be_written_with_dashes(cli, checkpoint, table, tmp_path):
    done = cli(
        *("train", "--model-name-or-path", checkpoint, "--train-file", table, "--output-dir", tmp_path / "a"),
        *("--max-train-steps", "2", "--per-device-train-batch-size", "4", "--bf16", "--group-by-length"),
    )
    assert done.code == 0, done.err
    recorded = yaml.safe_load((tmp_path / "a" / "config.yaml").read_text())["recipe"]
    assert (recorded["max_train_steps"], recorded["per_device_train_batch_size"]) == (2, 4)
    assert recorded["bf16"] is True


@pytest.mark.usefixtures("eager_only")
def test_the_swap_alone_on_a_trained_run(cli, runs, table, tmp_path):
    for activation in ("gelu_fused", "relu"):
        done = cli(
            *("eval", runs / "stock", "--test_file", table, "--activation", activation),
            *("--output_dir", tmp_path / activation),
        )
        assert done.code == 0, done.err
    stock = RunFolder.open(runs / "stock")
    swapped = RunFolder.open(tmp_path / "relu")
    assert swapped.report.subject.weights_sha256 == stock.report.subject.weights_sha256
    assert swapped.report.subject.patch.target == "relu"
    assert (swapped.predictions.logits != stock.predictions.logits).any()
    same = RunFolder.open(tmp_path / "gelu_fused")
    assert (same.predictions.logits == stock.predictions.logits).all()


def test_a_retrained_swap_is_loaded_as_it_was_trained(cli, runs, table, tmp_path):
    done = cli("eval", runs / "relu", "--test_file", table, "--activation", "stock", "--output_dir", tmp_path / "again")
    assert done.code == 0, done.err
    again, trained = RunFolder.open(tmp_path / "again"), RunFolder.open(runs / "relu")
    assert (again.predictions.logits == trained.predictions.logits).all()
    assert again.report.subject.patch.target == "relu"


def test_compare_as_json_and_its_exit_code(cli, runs, tmp_path):
    done = cli("compare", runs / "stock", runs / "relu", "--json", "--output_dir", tmp_path / "report")
    content = json.loads(done.out)
    assert content["exit_code"] == done.code
    assert content["verdict"] == content["comparison"]["verdict"]
    assert {path.name for path in (tmp_path / "report").iterdir()} == {"report.json", "report.md", "report.html"}


def test_version_and_help(cli):
    assert cli("--version").out.startswith("gelu-patch ")
    for verb in ("inspect", "train", "eval", "compare", "demo"):
        assert cli(verb, "--help").code == 0
    assert "--per_device_train_batch_size" in cli("train", "--help").out


PROBE = """
import sys
sys.argv = ["gelu-patch", *{arguments!r}]
try:
    from gelu_patch.cli.app import main
    main()
except SystemExit:
    pass
heavy = {{"torch", "transformers", "accelerate", "evaluate", "datasets"}}
print("imported:", sorted(heavy & set(sys.modules)))
"""


@pytest.mark.parametrize("verb", ["--help", "compare"])
def test_help_and_compare_import_no_torch(runs, tmp_path, verb):
    arguments = (
        [verb]
        if verb == "--help"
        else [verb, str(runs / "stock"), str(runs / "relu"), "--output_dir", str(tmp_path / "r")]
    )
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(arguments=arguments)], capture_output=True, text=True, check=True
    )
    assert "imported: []" in done.stdout


def test_importing_the_package_is_free():
    code = "import sys, gelu_patch; print({'torch', 'transformers', 'numpy', 'rich', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_python_m_is_the_same(tmp_path):
    done = subprocess.run([sys.executable, "-m", "gelu_patch", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("gelu-patch ")


def test_a_second_test_file_replaces_the_predictions_of_a_run(cli, checkpoint, table, tmp_path):
    cli(
        "train",
        "--model_name_or_path",
        checkpoint,
        "--train_file",
        table,
        "--output_dir",
        tmp_path / "a",
        "--max_train_steps",
        1,
    )
    assert "predictions" not in RunFolder.open(tmp_path / "a").report.files
    other = write_csv(tmp_path / "other.csv", [("x1", "good film", "pos"), ("x2", "bad film", "neg")])
    assert cli("eval", tmp_path / "a", "--test_file", table).code == 0
    assert cli("eval", tmp_path / "a", "--test_file", other).code == 0
    run = RunFolder.open(tmp_path / "a")
    assert run.predictions.ids == ["x1", "x2"]
    assert run.report.data.n == 2
    assert run.report.training is not None


def test_the_flags_of_an_arm_are_those_of_a_job():
    """`options.Arm` cannot be derived from `Job`, which imports torch; so they are held together here."""
    import dataclasses

    from gelu_patch.cli.options import Arm
    from gelu_patch.runs.job import Job

    assert {f.name: f.default for f in dataclasses.fields(Job)} == Arm().model_dump()
