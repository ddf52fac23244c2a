"""Bad input ends in a message that says what to do next, the documented exit code, and nothing half-written."""

from __future__ import annotations

import shutil

import pytest

from gelu_patch.reporting.storage.run_folder import RunFolder
from tests.cli.conftest import write_csv
from tests.zoo import tiny_llama

USAGE, INCOMPARABLE, ENVIRONMENT = 2, 4, 6


def assert_refused(done, code, *words):
    assert done.code == code, (done.code, done.err)
    for word in words:
        assert word in done.err, done.err
    assert "next:" in done.err
    assert "Traceback" not in done.err


@pytest.fixture
def train(cli, checkpoint, table, tmp_path):
    def run(**changes):
        flags = {"model_name_or_path": checkpoint, "train_file": table, "output_dir": tmp_path / "run"}
        flags |= {"max_train_steps": 1} | changes
        return cli("train", *(part for name, value in flags.items() for part in (f"--{name}", value)))

    return run


def rows(*labels):
    return [(f"r{i}", f"film number {i}", label) for i, label in enumerate(labels)]


def test_no_such_model(train, tmp_path):
    assert_refused(train(model_name_or_path=tmp_path / "absent"), ENVIRONMENT, "there is no model at")
    assert not (tmp_path / "run").exists()


def test_a_directory_without_a_model(cli, train, tmp_path):
    (tmp_path / "empty").mkdir()
    assert_refused(train(model_name_or_path=tmp_path / "empty"), ENVIRONMENT, "holds no model", "config.json")
    assert_refused(cli("inspect", tmp_path / "empty"), ENVIRONMENT, "holds no model")


def test_a_directory_without_weights(train, checkpoint, tmp_path):
    shutil.copytree(checkpoint, tmp_path / "bare")
    for weights in (tmp_path / "bare").glob("*.safetensors"):
        weights.unlink()
    assert_refused(train(model_name_or_path=tmp_path / "bare"), ENVIRONMENT, "holds no weights")


def test_a_hub_id_while_offline(train, tmp_path):
    assert_refused(train(model_name_or_path="org/model"), ENVIRONMENT, "org/model", "local directory")
    assert not (tmp_path / "run").exists()


def test_a_model_without_gelu(cli, train, tmp_path):
    tiny_llama().save_pretrained(tmp_path / "llama")
    assert_refused(cli("inspect", tmp_path / "llama"), USAGE, "no GELU", "silu x2")


@pytest.mark.parametrize(("name", "hint"), [("gelu_fussed", "gelu_fused"), ("rellu", "relu"), ("nonsense", "known")])
def test_an_unknown_activation(train, tmp_path, name, hint):
    assert_refused(train(activation=name), USAGE, f"unknown activation '{name}'", hint)
    assert not (tmp_path / "run").exists()


def test_an_unknown_memory(cli, train, table, checkpoint, tmp_path):
    words = ("unknown memory mode 'balance'", "did you mean 'balanced'")
    assert_refused(train(activation="gelu_fused", memory="balance"), USAGE, *words)
    assert_refused(cli("eval", checkpoint, "--test_file", table, "--memory", "balance"), USAGE, *words)
    assert not (tmp_path / "run").exists()


def test_where_that_matches_nothing(train, tmp_path):
    assert_refused(train(activation="relu", where="decoder.*"), USAGE, "matches none of the 2 GELU sites")
    assert not (tmp_path / "run").exists()


def test_no_such_file(train, tmp_path):
    assert_refused(train(train_file=tmp_path / "absent.csv"), ENVIRONMENT, "absent.csv")


def test_missing_columns(train, tmp_path):
    table = write_csv(tmp_path / "t.csv", [("a", "b")], columns=("sentiment", "review"))
    assert_refused(train(train_file=table), USAGE, "sentiment", "--text_column")
    done = train(train_file=table, text_column="review")
    assert_refused(done, USAGE, "--label_column")
    assert_refused(train(label_column="absent"), USAGE, "absent")


def test_an_empty_split_or_one_class_only(train, tmp_path):
    empty = write_csv(tmp_path / "empty.csv", [])
    assert_refused(train(train_file=empty), USAGE, "no examples")
    assert_refused(train(validation_file=empty), USAGE, "no examples")
    single = write_csv(tmp_path / "single.csv", rows("pos", "pos", "pos"))
    assert_refused(train(train_file=single), USAGE, "class")
    assert not (tmp_path / "run").exists()


def test_labels_that_differ_between_files(cli, train, runs, tmp_path):
    other = write_csv(tmp_path / "other.csv", rows("pos", "neg", "mixed"))
    assert_refused(train(validation_file=other), USAGE, "mixed")
    assert not (tmp_path / "run").exists()
    assert_refused(cli("eval", runs / "stock", "--test_file", other, "--output_dir", tmp_path / "e"), USAGE, "mixed")
    assert not (tmp_path / "e" / "report.json").exists()


def test_an_output_directory_that_holds_another_run(train, tmp_path):
    assert train().code == 0
    before = (tmp_path / "run" / "report.json").read_bytes()
    assert_refused(train(activation="relu"), USAGE, "already holds a run", "--overwrite_output_dir")
    assert (tmp_path / "run" / "report.json").read_bytes() == before


def test_no_write_permission(train, tmp_path):
    # A file where a directory should be refuses root, too.
    (tmp_path / "file").write_text("")
    assert_refused(train(output_dir=tmp_path / "file" / "run"), ENVIRONMENT, "cannot write")
    assert_refused(train(output_dir="/proc/run"), ENVIRONMENT, "cannot write")


def test_two_runs_over_different_examples(cli, runs, table, tmp_path):
    part = tmp_path / "part.csv"
    part.write_text("".join(table.read_text().splitlines(keepends=True)[:9]))
    cli("eval", runs / "stock", "--test_file", part, "--activation", "relu", "--output_dir", tmp_path / "part")
    done = cli("compare", runs / "stock", tmp_path / "part")
    assert_refused(done, INCOMPARABLE, "different examples", "16 only in the baseline")
    assert not (tmp_path / "part" / "compare").exists()


def test_what_is_no_run(cli, runs, tmp_path):
    assert_refused(cli("compare", runs / "stock", tmp_path), ENVIRONMENT, "is not a finished run")
    assert_refused(cli("compare", tmp_path / "absent", runs / "stock"), ENVIRONMENT, "is not a finished run")


def test_a_run_without_predictions(cli, train, runs, tmp_path):
    assert train().code == 0
    assert_refused(cli("compare", runs / "stock", tmp_path / "run"), ENVIRONMENT, "no predictions", "gelu-patch eval")


def test_damaged_runs(cli, runs, tmp_path):
    for name, content in (
        ("report.json", "{"),
        ("report.json", '{"schema_version": "2.0"}'),
        ("predictions.parquet", "x"),
    ):
        shutil.copytree(runs / "relu", tmp_path / "damaged", dirs_exist_ok=True)
        (tmp_path / "damaged" / name).write_text(content)
        done = cli("compare", runs / "stock", tmp_path / "damaged")
        assert_refused(done, USAGE, str(tmp_path / "damaged"))


@pytest.mark.parametrize(
    ("flag", "value", "word"),
    [
        ("learning_rate", "-1", "learning_rate"),
        ("num_train_epochs", "0", "num_train_epochs"),
        ("per_device_train_batch_size", "0", "per_device_train_batch_size"),
        ("fp16", None, "--bf16"),
    ],
)
def test_flags_that_cannot_be_meant(cli, checkpoint, table, tmp_path, flag, value, word):
    flags = [f"--{flag}"] + ([value] if value else [])
    done = cli(
        "train", "--model_name_or_path", checkpoint, "--train_file", table, "--output_dir", tmp_path / "r", *flags
    )
    assert done.code == USAGE
    assert word in done.err
    assert not (tmp_path / "r").exists()


def test_training_without_accelerate_says_what_to_install(train, tmp_path, monkeypatch):
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "accelerate" else real(name, *a))
    assert_refused(train(), ENVIRONMENT, "accelerate", 'pip install "gelu-patch[train]"')
    assert not (tmp_path / "run").exists()


def test_unknown_flags_verbs_and_margins(cli, runs):
    assert cli("train", "--nonsense").code == USAGE
    assert cli("nonsense").code == USAGE
    assert_refused(cli("compare", runs / "stock", runs / "relu", "--margin", "accuracy=lots"), USAGE, "lots")


def test_an_evaluation_that_would_overwrite_a_run_asks_for_a_directory(cli, checkpoint, runs, table):
    before = RunFolder.open(runs / "stock").report.model_dump()
    done = cli("eval", runs / "stock", "--test_file", table, "--activation", "relu")
    assert_refused(done, USAGE, "--output_dir")
    assert_refused(cli("eval", checkpoint, "--test_file", table), USAGE, "--output_dir")
    assert RunFolder.open(runs / "stock").report.model_dump() == before


def test_remote_code_is_off_unless_asked_for(cli, checkpoint, tmp_path):
    import json

    shutil.copytree(checkpoint, tmp_path / "remote")
    config = json.loads((tmp_path / "remote" / "config.json").read_text())
    config |= {"model_type": "made_up", "auto_map": {"AutoConfig": "code.Config", "AutoModel": "code.Model"}}
    (tmp_path / "remote" / "config.json").write_text(json.dumps(config))
    (tmp_path / "remote" / "code.py").write_text("raise SystemExit('remote code ran')\n")
    assert_refused(cli("inspect", tmp_path / "remote"), USAGE, "--trust_remote_code")


def test_a_model_of_another_kind(cli, train, tmp_path):
    from transformers import ViTConfig, ViTModel

    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    ViTModel(ViTConfig(image_size=16, patch_size=8, **size)).save_pretrained(tmp_path / "vit")
    assert_refused(train(model_name_or_path=tmp_path / "vit"), USAGE, "vit")
    assert not (tmp_path / "run").exists()
    done = cli("inspect", tmp_path / "vit")
    assert done.code == 0
    assert "1 GELU site, read from the code; not proven by a run" in done.out
    assert "the model was not run" in done.err
