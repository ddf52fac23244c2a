"""DDP and FSDP2 on two gloo processes, patched before and after wrapping; and one rank that is patched otherwise."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.traps.helpers import trap

pytestmark = pytest.mark.xdist_group("ranks")  # one job for all of them

ROOT = Path(__file__).parents[2]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """One job of two processes for all checks: check -> what went wrong."""
    result = tmp_path_factory.mktemp("ranks") / "outcome.json"
    run = subprocess.run(
        [*TORCHRUN, "-m", "tests.traps.ranks_job", str(result)],
        cwd=ROOT,
        # glibc has aborted a rank here, once (docs/limits.md): should a signal end one again, it says where it was.
        env=dict(os.environ, OMP_NUM_THREADS="1", PYTHONPATH=str(ROOT), PYTHONFAULTHANDLER="1"),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-8000:]
    return json.loads(result.read_text())


def assert_all_right(outcome, kind, n_checks):
    mine = {name: failure for name, failure in outcome.items() if name.startswith(kind)}
    assert len(mine) >= n_checks
    failed = {name: failure for name, failure in mine.items() if failure}
    assert not failed, "\n".join(f"{name}\n{failure}" for name, failure in failed.items())


def test_ddp(outcome):
    assert_all_right(outcome, "ddp", 20)


@trap(6, 7)
def test_fsdp2(outcome):
    assert_all_right(outcome, "fsdp2", 20)


@trap(36)
def test_ranks_that_are_patched_differently_are_detected(outcome):
    assert_all_right(outcome, "ranks", 15)
