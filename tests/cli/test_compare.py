"""``gelu-patch compare`` on saved runs: what it prints, writes and exits with, and every way in which it says no."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from gelu_patch.reporting.storage.run_folder import RunFolder
from tests.cli.conftest import write_csv
from tests.reporting import made_up
from tests.reporting.made_up import MadeUpRun

FINE, NO, USAGE, OPEN, INCOMPARABLE, INVALID, ENVIRONMENT = 0, 1, 2, 3, 4, 5, 6


@pytest.fixture
def saved(tmp_path):
    """Save made-up runs by name and return their folder."""

    def save(name: str, run: MadeUpRun) -> Path:
        folder = RunFolder.create(tmp_path / name, overwrite=True)
        folder.write_predictions(run.predictions)
        folder.write_report(run.report)
        return folder.path

    return save


@pytest.fixture
def pair(saved):
    return saved("stock", made_up.run()), saved("fused", made_up.run("fused", noise=1e-3))


@pytest.mark.parametrize(
    ("flips", "flags", "code", "verdict"),
    [
        ({"noise": 1e-3}, [], FINE, "NO GAIN"),
        ({"noise": 1e-3}, ["--require-gain"], NO, "NO GAIN"),
        ({"c": 60}, ["--require-gain"], FINE, "SHIP"),
        ({"b": 200}, [], NO, "DO NOT SHIP"),
        ({"b": 30, "c": 25}, [], OPEN, "INCONCLUSIVE"),
    ],
)
def test_the_exit_code_is_the_verdict(cli, saved, flips, flags, code, verdict):
    done = cli("compare", saved("a", made_up.run()), saved("b", made_up.run("x", **flips)), *flags)
    assert done.code == code, done.err
    assert f"VERDICT   {verdict}: " in done.out


def test_an_open_question_says_what_would_settle_it(cli, saved):
    done = cli("compare", saved("a", made_up.run()), saved("b", made_up.run("x", b=20, c=18)))
    assert done.code == OPEN
    assert "examples give 80 % power" in " ".join(done.out.split())


def test_every_metric_has_its_row(cli, pair):
    lines = cli("compare", *pair).out.splitlines()
    for start in ("accuracy", "NLL / example (guard rail)", "F1 (shown)", "Matthews (shown)"):
        (line,) = (each for each in lines if each.startswith(start))
        assert "%" in line or "+0" in line


def test_policies(cli, pair, tmp_path):
    policy = tmp_path / "policy.toml"
    policy.write_text('primary = ["nll"]\n[margins]\naccuracy = "2pp"\n')
    done = cli("compare", *pair, "--policy", policy, "--json")
    content = json.loads(done.out)["comparison"]["policy"]
    assert (content["margins"]["accuracy"], content["primary"], content["source"]) == ("2pp", ["nll"], "file")
    done = cli("compare", *pair, "--policy", policy, "--margin", "accuracy=3pp", "--json")
    content = json.loads(done.out)["comparison"]["policy"]
    assert (content["margins"]["accuracy"], content["fixed_before_run"]) == ("3pp", False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("margins: {acuracy: 1pp}", ("acuracy", "did you mean 'accuracy'")),
        ("margins: {accuracy: 1.0}", ("needs a unit", "accuracy=1.0pp")),
        ("margin: {accuracy: 1pp}", ("unknown key 'margin'",)),
        ("{", ("not YAML",)),
    ],
)
def test_a_bad_policy_is_a_usage_error(cli, pair, tmp_path, text, words):
    (tmp_path / "policy.yaml").write_text(text)
    done = cli("compare", *pair, "--policy", tmp_path / "policy.yaml")
    assert done.code == USAGE
    assert all(word in done.err for word in ("policy.yaml", *words)), done.err
    assert not (pair[1] / "compare").exists()
    assert cli("compare", *pair, "--policy", tmp_path / "absent.yaml").code == USAGE


def test_a_missing_metric_is_no_pass(cli, pair, tmp_path):
    (tmp_path / "policy.yaml").write_text("required: [latency]")
    done = cli("compare", *pair, "--policy", tmp_path / "policy.yaml")
    assert done.code == OPEN
    assert "latency has a margin but was not measured" in " ".join(done.out.split())


def test_several_candidates(cli, saved, pair):
    bad = saved("relu", made_up.run("relu", b=200))
    done = cli("compare", *pair, bad, "--output-dir", pair[0].parent / "all")
    assert done.code == NO
    assert [line.split(":")[0] for line in done.out.splitlines() if line.startswith("VERDICT")] == [
        "VERDICT   NO GAIN",
        "VERDICT   DO NOT SHIP",
    ]
    other = saved("other", made_up.run("y", n=50))
    done = cli("compare", *pair, other, "--json", "--output_dir", pair[0].parent / "more")
    content = json.loads(done.out)
    assert (done.code, content["verdict"], content["exit_code"]) == (INCOMPARABLE, "NOT COMPARABLE", INCOMPARABLE)
    assert [each["verdict"] for each in content["comparisons"]] == ["NO GAIN", "NOT COMPARABLE"]


def test_only_changed_and_precision(cli, pair):
    full, short = cli("compare", *pair).out, cli("compare", *pair, "--only-changed").out
    assert any(line.startswith("accuracy") for line in full.splitlines())
    assert not any(line.startswith("accuracy") for line in short.splitlines())
    assert "90.00 %" in full
    assert "90.0000 %" in cli("compare", *pair, "--precision", "2").out


def test_markdown_on_standard_output_and_in_a_job_summary(cli, pair, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    done = cli("compare", *pair, "--md")
    assert done.code == FINE
    assert done.out.strip() == (pair[1] / "compare" / "report.md").read_text().strip()
    once = (tmp_path / "summary.md").read_text()
    assert once.strip() == (pair[1] / "compare" / "report.md").read_text().strip()
    cli("compare", *pair, "--no-github")
    assert (tmp_path / "summary.md").read_text() == once
    assert cli("compare", *pair, "--md", "--json").code == USAGE


def test_a_refusal_is_json_too(cli, saved, pair):
    done = cli("compare", pair[0], saved("other", made_up.run("y", n=50)), "--json")
    content = json.loads(done.out)
    assert (done.code, content["verdict"], content["exit_code"]) == (INCOMPARABLE, "NOT COMPARABLE", INCOMPARABLE)
    assert "different examples" in content["reasons"][0]


def test_another_tokenizer(cli, saved, pair):
    run = made_up.run("x", noise=1e-3)
    run.report.data.tokenizer_sha256 = "d" * 64
    done = cli("compare", pair[0], saved("x", run))
    assert done.code == INCOMPARABLE
    assert "different tokenizers" in done.err


def test_latency_of_another_machine(cli, saved, pair):
    run = made_up.run("x", noise=1e-3)
    run.report.latency, run.report.environment.cpu = [made_up.latency(0.9)], "Epyc"
    done = cli("compare", pair[0], saved("x", run))
    assert done.code == INCOMPARABLE
    assert "NON-INFERIOR" in done.out
    assert "different machines" in " ".join(done.out.split())


def rewrite(path: Path, change) -> None:
    pq.write_table(change(pq.read_table(path)), path)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda table: table.slice(0, 0), "no examples"),
        (lambda table: table.set_column(0, "id", [["same"] * len(table)]), "occurs twice"),
        (lambda table: table.drop_columns(["logits"]), "no column 'logits'"),
    ],
)
def test_predictions_that_are_empty_or_double_or_cut(cli, pair, damage, words):
    rewrite(pair[1] / "predictions.parquet", damage)
    done = cli("compare", *pair)
    assert done.code == USAGE
    assert words in done.err
    assert "predictions.parquet" in done.err


def test_truncated_files(cli, pair):
    for name, code in (("predictions.parquet", USAGE), ("report.json", USAGE)):
        path = pair[1] / name
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        done = cli("compare", *pair)
        assert done.code == code
        assert name in done.err
        assert done.err.count("\n  next: ") == 1
        path.write_bytes(whole)


def test_a_metric_that_is_not_a_number(cli, pair):
    path = pair[1] / "report.json"
    path.write_text(path.read_text().replace('"value": 0.9,', '"value": NaN,', 1))
    done = cli("compare", *pair)
    assert done.code == INVALID
    assert "NaN" in done.err


def test_a_newer_schema(cli, pair):
    path = pair[1] / "report.json"
    path.write_text(path.read_text().replace('"schema_version": "1.0"', '"schema_version": "2.0"', 1))
    done = cli("compare", *pair)
    assert done.code == USAGE
    assert "pip install --upgrade gelu-patch" in done.err


PROBE = """
import sys, time
sys.argv = ["gelu-patch", "compare", *sys.argv[1:]]
from gelu_patch.cli.app import main
started = time.process_time()  # what others compute beside this test is none of its business
try:
    main()
except SystemExit as stopped:
    code = stopped.code
heavy = {"torch", "transformers", "accelerate", "datasets"} & sys.modules.keys()
print("PROBE", code, round(time.process_time() - started, 2), sorted(heavy))
"""


def test_a_hundred_thousand_predictions_without_torch(saved, tmp_path):
    big = {"n": 100_000, "wrong": 9_000}
    base = saved("base", made_up.run(**big))
    cand = saved("cand", made_up.run("x", b=2_000, c=1_500, noise=0.1, **big))
    command = [sys.executable, "-c", PROBE, str(base), str(cand), "--output_dir", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    _, code, seconds, heavy = done.stdout.splitlines()[-1].split(" ", 3)
    assert (code, heavy) == ("3", "[]")
    assert float(seconds) < 5


def test_eval_and_train_fix_a_policy_before_anybody_looks(cli, checkpoint, table, runs, tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text("margins: {accuracy: 3pp}")
    arms = [tmp_path / "base", tmp_path / "relu"]
    for arm, activation in zip(arms, ("stock", "relu"), strict=True):
        flags = ("--activation", activation, "--output_dir", arm, "--policy", policy)
        assert cli("eval", runs / "stock", "--test_file", table, *flags).code == FINE
    found = json.loads(cli("compare", *arms, "--json").out)["comparison"]["policy"]
    assert (found["margins"]["accuracy"], found["fixed_before_run"]) == ("3pp", True)
    text = " ".join(cli("compare", *arms, "--margin", "accuracy=9pp").out.split())
    assert "not those that the baseline was fixed to" in text

    policy.write_text("margins: {accuracy: 3}")
    flags = ("--train_file", table, "--output_dir", tmp_path / "t", "--policy", policy)
    done = cli("train", "--model_name_or_path", checkpoint, *flags)
    assert done.code == USAGE
    assert "needs a unit" in done.err
    assert not (tmp_path / "t").exists(), "a bad policy is refused before anything is trained"


def test_a_run_that_is_still_going_on(cli, pair, tmp_path):
    from gelu_patch.reporting.storage.lock import run_lock

    folder = tmp_path / "unfinished"
    folder.mkdir()
    with run_lock(folder):
        done = cli("compare", pair[0], folder)
    assert done.code == USAGE
    assert f"a run is going on in {folder}" in done.err
    assert cli("compare", pair[0], folder).code == ENVIRONMENT


def test_inputs_that_occur_twice_are_counted_and_told(cli, checkpoint, tmp_path):
    rows = [(i, f"a good film {i % 5}", i % 2) for i in range(8)]
    data = write_csv(tmp_path / "twice.csv", rows)
    arms = [tmp_path / "base", tmp_path / "relu"]
    for arm, activation in zip(arms, ("stock", "relu"), strict=True):
        done = cli("eval", checkpoint, "--test_file", data, "--activation", activation, "--output_dir", arm)
        assert done.code == FINE, done.err
    assert "3 of 8 inputs occur more than once" in " ".join(cli("compare", *arms).out.split())


def test_language_models_from_evaluation_to_verdict(cli, tmp_path):
    from tests.tasks.tiny import save_tiny, tiny_documents

    model = save_tiny(tmp_path / "model", "causal-lm")
    documents = tiny_documents()
    data = write_csv(tmp_path / "docs.csv", zip(documents.ids, documents.texts, strict=True), columns=("id", "text"))
    arms = [tmp_path / "base", tmp_path / "relu"]
    for arm, activation in zip(arms, ("stock", "relu"), strict=True):
        flags = ("--task", "causal-lm", "--activation", activation, "--output_dir", arm)
        done = cli("eval", model, "--test_file", data, *flags)
        assert done.code == FINE, done.err
    done = cli("compare", *arms, "--json")
    content = json.loads(done.out)["comparison"]
    (nll,) = content["results"]
    assert (nll["metric"], nll["primary"], nll["unit"]) == ("nll", True, "document")
    assert content["fidelity"]["noise"] is not None
    assert len(content["fidelity"]["per_layer_rel_err"]) > 1
    assert "perplexity ratio" in cli("compare", *arms).out
