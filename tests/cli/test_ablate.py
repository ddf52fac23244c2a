"""`gelu-patch ablate` on the command line: what it says, and with which exit code."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def ablation(checkpoint, table, tmp_path):
    """Write a file, with lines added, and return its path."""

    def write(*lines: str):
        path = tmp_path / "ablation.yaml"
        given = (
            f"model_name_or_path: {checkpoint}",
            f"train_file: {table}",
            f"test_file: {table}",
            "activations: [stock, relu]",
            "seeds: [0, 1]",
            f"output_dir: {tmp_path / 'out'}",
            "recipe: {max_train_steps: 2}",
        )
        replaced = {line.split(":")[0] for line in lines}
        path.write_text("\n".join([*(line for line in given if line.split(":")[0] not in replaced), *lines]))
        return path

    return write


def test_the_table_and_the_report(cli, ablation, tmp_path):
    done = cli("ablate", ablation())
    assert done.code == 0, done.err
    assert "RANKING BY" in done.out
    assert "relu: not told apart from stock" in done.out
    assert "[4/4] relu, seed 1" in done.err
    assert (tmp_path / "out" / "report.html").is_file()
    again = cli("ablate", ablation())
    assert again.code == 2
    assert "--resume" in again.err
    third = cli("ablate", ablation(), "--resume", "--json", "--quiet")
    assert third.code == 0, third.err
    assert [arm["rank"] for arm in json.loads(third.out)["ablation"]["arms"]] == [1, 2]
    shown = cli("report", tmp_path / "out", "--md")
    assert shown.code == 0, shown.err
    assert "Ranking by accuracy" in (tmp_path / "out" / "report.md").read_text()
    compared = cli("compare", tmp_path / "out" / "stock", tmp_path / "out" / "relu")
    assert compared.code == 3, compared.err  # two seeds are early


def test_a_dry_run_writes_nothing(cli, ablation, tmp_path):
    done = cli("ablate", ablation(), "--dry-run")
    assert done.code == 0, done.err
    assert "stock (baseline)" in done.out
    assert "4 runs in" in done.out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("line", "code", "word"),
    [
        ("sedes: [0]", 2, "did you mean 'seeds'"),
        ("activations: [relv]", 2, "did you mean 'relu'"),
        ("recipe: {learning_rate: high}", 2, "--learning_rate high"),
        ("train_file: nowhere.csv", 6, "nowhere.csv"),
        ("model_name_or_path: nowhere", 6, "nowhere"),
        ("columns: {text_column: review}", 2, "review"),
        ("task: translation", 2, "translation"),
        ("policy: nowhere.yaml", 2, "nowhere.yaml"),
    ],
)
def test_what_cannot_be_used(cli, ablation, tmp_path, line, code, word):
    done = cli("ablate", ablation(line), "--quiet", "--offline")
    assert done.code == code, done.err
    assert word in done.err
    assert not (tmp_path / "out").exists()


def test_resume_and_overwrite_exclude_each_other(cli, ablation):
    done = cli("ablate", ablation(), "--resume", "--overwrite_output_dir")
    assert done.code == 2
    assert "use one of them" in done.err
