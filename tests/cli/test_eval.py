"""``gelu-patch eval`` on documents, and data that cannot be used: each a clear message and its exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gelu_patch.reporting.storage.run_folder import RunFolder
from tests.cli.conftest import write_csv
from tests.tasks.tiny import save_tiny_bert, save_tiny_gpt2, tiny_documents


@pytest.fixture(scope="module")
def decoder(tmp_path_factory) -> Path:
    return save_tiny_gpt2(tmp_path_factory.mktemp("gpt2"))


@pytest.fixture(scope="module")
def classifier(tmp_path_factory) -> Path:
    return save_tiny_bert(tmp_path_factory.mktemp("bert"), head=True)


@pytest.fixture
def documents(tmp_path) -> Path:
    path = tmp_path / "documents.jsonl"
    path.write_text("\n".join(json.dumps({"text": text}) for text in tiny_documents().texts))
    return path


def test_documents_before_and_after_a_swap(cli, decoder, documents, tmp_path):
    for activation in ("stock", "relu"):
        done = cli(
            *("eval", decoder, "--activation", activation, "--task", "causal-lm", "--data", documents),
            *("--batch-size", "4", "--output_dir", tmp_path / activation),
        )
        assert done.code == 0, done.err
        assert "perplexity" in done.out
    run = RunFolder.open(tmp_path / "relu")
    assert len(run.predictions) == 12
    assert run.report.protocol.task == "causal-lm"
    assert {"report.json", "predictions.parquet", "predictions_noise.parquet", "drift.parquet", "config.yaml"} < {
        path.name for path in run.path.iterdir()
    }
    again = cli(
        *("eval", decoder, "--activation", "relu", "--task", "causal-lm", "--data", documents),
        *("--batch-size", "4", "--output_dir", tmp_path / "relu"),
    )
    assert again.code == 0
    assert "nothing was run" in again.err
    other = cli("eval", decoder, "--task", "causal-lm", "--data", documents, "--output_dir", tmp_path / "relu")
    assert other.code == 2
    assert "patch.target was relu and is stock" in other.err


def test_a_limit_is_marked(cli, decoder, documents, tmp_path):
    done = cli(
        *("eval", decoder, "--task", "causal-lm", "--data", documents, "--limit", "5", "--stride", "3"),
        *("--output_dir", tmp_path / "a", "--noise_examples", "0"),
    )
    assert done.code == 0, done.err
    report = RunFolder.open(tmp_path / "a").report
    assert (report.data.n, report.data.limited) == (5, True)
    assert not (tmp_path / "a" / "drift.parquet").exists()


def test_a_decoder_can_be_trained_on_documents(cli, decoder, documents, tmp_path):
    done = cli(
        *("train", "--model_name_or_path", decoder, "--task", "causal-lm", "--train_file", documents),
        *(
            "--validation_file",
            documents,
            "--max_train_steps",
            "3",
            "--output_dir",
            tmp_path / "a",
            "--max_length",
            "16",
        ),
    )
    assert done.code == 0, done.err
    training = RunFolder.open(tmp_path / "a").report.training
    assert training.per_seed[0].steps == 3
    assert training.metric == "nll"
    assert training.per_seed[0].last < 0  # the larger, the better


BAD = {
    "no data": (None, "there is no data to evaluate on", 2),
    "no such file": ("nowhere.csv", "there is no data at", 6),
    "a type nobody reads": ("data.xlsx", "cannot tell the format", 2),
    "an empty file": ("empty.csv", "has no examples", 2),
    "no rows": ("header.csv", "has no examples", 2),
    "no label column": ("unlabelled.csv", "has no label column", 2),
    "a missing label": ("missing.csv", "no label in column 'label'", 2),
    "an unknown label": ("unknown.csv", "labels that the model does not", 2),
    "an id twice": ("twice.csv", "the id 'a' twice", 2),
    "a NaN text": ("nan.parquet", "no text in column 'text'", 2),
    "a damaged parquet": ("damaged.parquet", "cannot read", 2),
    "an unfinished hub name": ("hub:glue", "does not name a split", 2),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_data(cli, classifier, tmp_path, name):
    (tmp_path / "data.xlsx").write_bytes(b"PK")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "header.csv").write_text("text,label\n")
    (tmp_path / "unlabelled.csv").write_text("text,class\ngood,1\n")
    (tmp_path / "missing.csv").write_text("text,label\ngood,1\nbad,\n")
    (tmp_path / "unknown.csv").write_text("text,label\ngood,1\nbad,7\n")
    (tmp_path / "twice.csv").write_text("id,text,label\na,good,1\na,bad,0\n")
    table = pa.table({"text": pa.array(["good", None]), "label": [1, 0]})
    pq.write_table(table, tmp_path / "nan.parquet")
    (tmp_path / "damaged.parquet").write_bytes((tmp_path / "nan.parquet").read_bytes()[:-30])
    file, says, code = BAD[name]
    data = [] if file is None else ["--data", file if file.startswith("hub:") else tmp_path / file]
    done = cli("eval", classifier, *data, "--output_dir", tmp_path / "run")
    assert done.code == code, done.err
    assert says in done.err
    assert not (tmp_path / "run" / "report.json").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("\n \n", "has no examples"),
        ("good film\n\nbad\n", "1 documents without a token to predict"),
    ],
)
def test_bad_documents(cli, decoder, tmp_path, text, says):
    (tmp_path / "documents.txt").write_text(text)
    done = cli(
        "eval", decoder, "--task", "causal-lm", "--data", tmp_path / "documents.txt", "--output_dir", tmp_path / "r"
    )
    assert (done.code, says in done.err) == (2, True), done.err


def test_an_empty_document_is_named_by_its_row(cli, decoder, tmp_path):
    path = write_csv(tmp_path / "documents.csv", [("a", "good film"), ("b", " ")], columns=("id", "text"))
    done = cli("eval", decoder, "--task", "causal-lm", "--data", path, "--output_dir", tmp_path / "r")
    assert done.code == 2
    assert "row 2" in done.err


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--limit", "0"), "--limit cannot be 0"),
        (("--stride", "99"), "a stride of 99 does not fit"),
        (("--task", "causal"), "did you mean 'causal-lm'"),
        (("--label_column", "text"), "a language model reads documents"),
        (("--batch_size", "0"), "--per_device_eval_batch_size cannot be 0"),
        (("--device", "toaster"), "is no device"),
    ],
)
def test_flags_that_cannot_be_meant(cli, decoder, documents, tmp_path, flags, says):
    task = () if "--task" in flags else ("--task", "causal-lm")
    done = cli("eval", decoder, *task, "--data", documents, "--output_dir", tmp_path / "r", *flags)
    assert done.code == 2, done.err
    assert says in done.err


def test_one_class_only_is_fine_for_evaluation(cli, classifier, tmp_path):
    (tmp_path / "one.csv").write_text("text,label\ngood,1\nbright film,1\n")
    done = cli("eval", classifier, "--data", tmp_path / "one.csv", "--output_dir", tmp_path / "run")
    assert done.code == 0, done.err


def test_an_lm_eval_task_needs_a_folder_and_the_package(cli, decoder, tmp_path, monkeypatch):
    done = cli("eval", decoder, "--task", "lm_eval:arc_easy")
    assert done.code == 2
    assert "--output_dir" in done.err
    monkeypatch.setitem(__import__("sys").modules, "lm_eval", None)
    done = cli("eval", decoder, "--task", "lm_eval:arc_easy", "--output_dir", tmp_path / "r")
    assert done.code == 6
    assert 'pip install "gelu-patch[lm-eval]"' in done.err
