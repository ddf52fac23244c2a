"""Planted faults: each breaks the product in one small way, and a named test must turn red.

Every row of the tables beside this file names a fault, the code that plants it (most put a wrong function in the place
of one of the package) and the test that is there to notice, which runs in a process of its own. A row that stays green
means that the test cannot fail.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.faults import decisions, mathematics, measurements, models, runs

ROOT = Path(__file__).parents[2]
TABLES = (mathematics, models, decisions, measurements, runs)
FAULTS = {name: row for table in TABLES for name, row in table.FAULTS.items()}


def test_no_name_stands_twice():
    assert len(FAULTS) == sum(len(table.FAULTS) for table in TABLES)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_caught(name, tmp_path):
    plant, victim = FAULTS[name]
    assert (ROOT / victim.split("::")[0]).is_file(), f"{victim} does not exist"
    (tmp_path / "planted_fault.py").write_text(plant + "\n")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "planted_fault", victim],
        cwd=ROOT,
        env=dict(os.environ, PYTHONPATH=f"{tmp_path}:{ROOT}"),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    summary = run.stdout.strip().rpartition("\n")[2]
    all_skipped = run.returncode == 0 and "skipped" in summary and "passed" not in summary
    if all_skipped or "No module named 'triton'" in run.stderr:
        # CI installs all that the victims need, so there a fault that nobody tried is a failure.
        assert "CI" not in os.environ or torch.cuda.is_available(), f"{victim} was skipped:\n{run.stdout[-1000:]}"
        pytest.skip(f"{victim} does not run here")
    # 1: tests ran and some failed. Anything else (2: broken collection, 5: none found) proves nothing.
    assert run.returncode == 1, f"{victim} stayed green with the fault, or did not run:\n{run.stdout[-2000:]}"
