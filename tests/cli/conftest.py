"""The command line, run in this process the way a shell runs it."""

from __future__ import annotations

import csv
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from gelu_patch.cli.app import main
from tests.tasks.tiny import save_tiny_bert, tiny_examples


@dataclass
class Finished:
    code: int
    out: str
    err: str


@pytest.fixture
def cli(capsys, monkeypatch):
    def run(*arguments: object) -> Finished:
        monkeypatch.setattr(sys, "argv", ["gelu-patch", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        captured = capsys.readouterr()
        return Finished(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    return save_tiny_bert(tmp_path_factory.mktemp("checkpoint"))


def write_csv(path: Path, rows, columns=("id", "text", "label")) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
    return path


@pytest.fixture(scope="session")
def table(tmp_path_factory) -> Path:
    examples = tiny_examples()
    rows = list(zip(examples.ids, examples.texts, examples.labels, strict=True))
    return write_csv(tmp_path_factory.mktemp("data") / "examples.csv", rows)


@pytest.fixture(scope="session")
def runs(tmp_path_factory, checkpoint, table) -> Path:
    """Two finished training runs, stock and relu; do not write into them."""
    from gelu_patch.runs.train import TrainingJob, train_run
    from gelu_patch.tasks.data import read_examples
    from gelu_patch.training.recipe import Recipe

    root = tmp_path_factory.mktemp("runs")
    for activation in ("stock", "relu"):
        job = TrainingJob(
            model_name_or_path=str(checkpoint),
            train=read_examples(table),
            validation=read_examples(table),
            recipe=Recipe(num_train_epochs=1, learning_rate=1e-3),
            activation=activation,
        )
        train_run(job, root / activation)
    return root
