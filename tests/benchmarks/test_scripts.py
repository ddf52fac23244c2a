"""The scripts run, and write what the page reads; their numbers here mean nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.speed_lib.names import AGAIN, F_GELU, LIMIT, MKL, MKL_AGAIN, ONEDNN_FUSED, OURS, STOCK
from benchmarks.speed_lib.page import page

ROOT = Path(__file__).parents[2]
SHARED = {"title", "git", "environment", "clock", "quick", "skipped", "samples"}


def quick(script: str, results: Path, *only: str) -> dict:
    chosen = [word for piece in only for word in ("--only", piece)]
    command = [
        sys.executable,
        f"benchmarks/{script}.py",
        "--quick",
        "--results",
        str(results / f"{script}.json"),
        *chosen,
    ]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads((results / f"{script}.json").read_text())["pieces"]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def check_samples(piece: dict) -> None:
    assert piece["quick"]
    assert {len(values) for values in piece["samples"].values()} == {3}
    assert all(seconds > 0 for values in piece["samples"].values() for seconds in values)


@pytest.mark.slow
def test_whole_models(tmp_path):
    pieces = quick("cpu_models", tmp_path)
    assert list(pieces) == [
        "gpt2:float32:infer:1", "gpt2:float32:infer:2", "gpt2:float32:train:1", "gpt2:float32:train:2",
        "bert:bfloat16:infer:1", "t5:float32:train:1", "gemma3:float32:infer:1",
    ]  # fmt: skip
    for key, piece in pieces.items():
        assert set(piece) >= SHARED | {"shape", "layers", "layers_of_the_model", "notes", "seconds"}
        assert piece["clock"] == ("thread CPU time" if key.endswith(":1") else "wall clock")
        assert {STOCK, AGAIN, OURS, LIMIT} <= set(piece["samples"]), piece["skipped"]
        assert any("gelu" in line for line in piece["notes"][OURS]["patch"])
        check_samples(piece)
    assert F_GELU in pieces["gpt2:float32:infer:1"]["samples"]
    assert "F.gelu already" in pieces["bert:bfloat16:infer:1"]["skipped"][F_GELU]
    again = quick("cpu_models", tmp_path, "gpt2:float32:infer:1")  # replaces its piece, and no other
    assert list(again) == list(pieces)
    assert [key for key in pieces if again[key] != pieces[key]] == ["gpt2:float32:infer:1"]
    assert "times as fast as stock" in page(tmp_path)


@pytest.mark.slow
def test_linear(tmp_path):
    pieces = quick("cpu_linear", tmp_path)
    assert list(pieces) == ["linear:float32:384-1536:128", "conv1d:bfloat16:384-1536:128"]
    for piece in pieces.values():
        assert set(piece) >= SHARED
        assert {MKL, MKL_AGAIN, ONEDNN_FUSED, OURS} <= set(piece["samples"])
        check_samples(piece)
    assert "384 to 1536, 128 rows" in page(tmp_path)
