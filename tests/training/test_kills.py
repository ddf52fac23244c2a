"""`kill -9` at random moments, while checkpoints are written too: every run goes on, and ends with the same bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_twelve_kills(tmp_path: Path) -> None:
    output = tmp_path / "kills.json"
    run = subprocess.run(
        [sys.executable, "benchmarks/kills.py", "--kills", "12", "--output", str(output)],
        cwd=ROOT,
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    found = json.loads(output.read_text())
    assert (found["kills"], found["unusable"]) == (12, 0)
    assert found["kills_while_a_checkpoint_was_written"] >= 2
    assert len({step for step in found["newest_checkpoint_after_each_kill"] if step}) >= 3
    assert found["runs_finished"] >= 1
