"""The script that the type checkers are given does what it says; ``benchmarks/package.py`` has it checked."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tasks.tiny import save_tiny_bert, tiny_examples

SCRIPT = Path(__file__).with_name("user_script.py")


@pytest.mark.slow
def test_it_runs(tmp_path):
    examples, table = tiny_examples(24), tmp_path / "table.csv"
    with table.open("w", newline="") as file:
        rows = zip(examples.ids, examples.texts, examples.labels, strict=True)
        csv.writer(file).writerows([("id", "text", "label"), *rows])
    checkpoint = save_tiny_bert(tmp_path / "bert", head=True)
    done = subprocess.run(
        [sys.executable, SCRIPT, checkpoint, table, tmp_path / "out"],
        env=os.environ | {"PYTHONPATH": str(SCRIPT.parents[2])},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    for said in ("2 sites", "2 swapped by ", "step 2 of 2: ", "verdict: ", "ranked: ", "UnknownName: "):
        assert said in done.stdout
