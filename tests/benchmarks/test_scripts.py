"""The scripts run, and write what the page reads; their numbers here mean nothing."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.speed_lib import gpu_section
from benchmarks.speed_lib.bars import GPU_BARS
from benchmarks.speed_lib.names import (
    AGAIN,
    COMPILED,
    F_GELU,
    F_GELU_COMPILED,
    LIMIT,
    MKL,
    MKL_AGAIN,
    ONEDNN_FUSED,
    OURS,
    OURS_COMPILED,
    OURS_MAX,
    OURS_SPEED,
    STOCK,
)
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
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
def test_gpu_in_the_interpreter(tmp_path):
    """Every kind of piece, and the page: the numbers of a CPU reach no bar."""
    kinds = [
        "ceilings", "errors", "elementwise:gelu:50", "linear:gelu_tanh:768:512", "gated:3072", "host", "backward",
        "mlp:training:768", "mlp:forward:768:1", "model:gpt2:infer", "model:gpt2:train:autocast",
        "model:t5:train:bf16", "compiled:bert:infer", "compiled:gpt2:train",
    ]  # fmt: skip
    pieces = quick("gpu", tmp_path, *kinds)
    content = json.loads((tmp_path / "gpu.json").read_text())
    assert not content["not_measured"]
    assert len(pieces) == len(kinds) + 1  # mlp:forward:768:1 is the beginning of two names
    assert set(pieces["compiled:gpt2:train"]["samples"]) == {STOCK, OURS, COMPILED, OURS_COMPILED, F_GELU_COMPILED}
    for name, piece in pieces.items():
        assert all(len(values) == 3 for values in piece["samples"].values()), name
    kept = pieces["mlp:training:768"]["notes"]["kept bytes"]
    assert kept[STOCK] > kept[OURS_SPEED] > kept[OURS] > kept[OURS_MAX]
    errors = pieces["errors"]["notes"]["largest error"]
    assert all(arms[OURS]["value"] < 0.1 for arms in errors.values())
    assert "no number counts" in page(tmp_path)
    assert "goal reached" not in page(tmp_path)


@pytest.mark.parametrize("change", [None, "git", "machine", "quick"])
def test_pieces_of_another_run_are_kept_when_code_and_gpu_are_the_same(tmp_path, monkeypatch, change):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    from benchmarks.gpu import earlier

    result = {"reached_a_gpu": True, "quick": False, "git": "abc", "machine": {"name": "H200"}}
    pieces = {"pieces": {"errors": {}}, "not_measured": {"host": "why"}}
    file = tmp_path / "gpu.json"
    assert earlier(file, result) == {}
    file.write_text(json.dumps(result | pieces | ({change: "other"} if change else {})))
    assert earlier(file, result) == ({} if change else pieces)


def test_without_a_gpu_the_file_says_so(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("here is a GPU")
    results = tmp_path / "gpu.json"
    command = [sys.executable, "benchmarks/gpu.py", "--results", str(results)]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert not json.loads(results.read_text())["reached_a_gpu"]
    text, verdicts = gpu_section.write(json.loads(results.read_text()))
    assert set(verdicts) == {"not measured"}
    assert "No GPU was reached" in text
    for row in range(1, 16):
        assert f"| G{row} |" in text


def test_every_bar_of_a_gpu_is_about_a_piece_that_is_measured():
    command = [sys.executable, "benchmarks/gpu.py", "--list"]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=120)
    assert {bar.piece for bar in GPU_BARS} <= set(done.stdout.split()), done.stderr


@pytest.mark.slow
def test_linear(tmp_path):
    pieces = quick("cpu_linear", tmp_path)
    assert list(pieces) == ["linear:float32:384-1536:128", "conv1d:bfloat16:384-1536:128"]
    for piece in pieces.values():
        assert set(piece) >= SHARED
        assert {MKL, MKL_AGAIN, ONEDNN_FUSED, OURS} <= set(piece["samples"])
        check_samples(piece)
    assert "384 to 1536, 128 rows" in page(tmp_path)
