"""``gelu-patch bench``, as a shell runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gelu_patch.reporting.storage.run_folder import RunFolder
from gelu_patch.reporting.storage.timings import read_timings

ROOT = Path(__file__).parents[2]
QUICK = ("--pairs", 10, "--max_seconds", 3, "--processes", 1, "--shapes", "1x8")


def test_bench_of_a_checkpoint(cli, checkpoint, tmp_path):
    folder = tmp_path / "run"
    margin = ("--margin", "50%")  # what the times are is not this test's business
    done = cli("bench", checkpoint, "--to", "gelu_fused,relu", *QUICK, *margin, "--output-dir", folder)
    assert done.code in (0, 5), done.err
    lines = done.out.splitlines()
    assert lines[2] == "Worth it?"
    for heading in ("LATENCY", "THROUGHPUT", "MEMORY", "ENERGY"):
        assert heading in done.out
    report = RunFolder.open(folder).report
    assert report.kind == "bench"
    is_invalid = any(entry.state == "INVALID" for arm in report.arms for entry in arm.latency)
    assert done.code == (5 if is_invalid else 0), "5: something else kept this machine busy"
    assert [arm.name for arm in report.arms] == ["stock", "gelu_fused", "relu"]
    assert report.arms[2].subject.patch.target == "relu"
    assert report.arms[1].subject.weights_sha256 == report.subject.weights_sha256 is not None
    assert report.energy.joule_per_1k_samples is None or report.energy.joule_per_1k_samples > 0
    assert report.energy.joule_per_1k_samples or report.energy.why_null
    assert read_timings(folder / "timings.parquet")
    again = cli("bench", checkpoint, *QUICK, "--output_dir", folder)
    assert again.code == 2
    assert "already holds a run" in again.err


def test_json_is_the_report(cli, checkpoint):
    done = cli("bench", checkpoint, *QUICK, "--margin", "50%", "--json", "--quiet")
    report = json.loads(done.out)
    assert report["kind"] == "bench"
    assert report["activation_share"][0]["n_sites"] == 2


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--shapes", "8x"), 2, "BATCHxLENGTH"),
        (("--shapes", "1x64"), 2, "config.max_position_embeddings is 32"),
        (("--to", "gelu_fussed"), 2, "did you mean 'gelu_fused'"),
        (("--to", "relu,"), 2, "a name is missing"),
        (("--phase", "backward"), 2, "forward_backward"),
        (("--phase", "generate"), 2, "does not generate"),
        (("--processes", 0), 2, "at least 1"),
        (("--pairs", 1), 2, "at least 2"),
        (("--threads", 0), 2, "at least 1"),
        (("--max_seconds", 0), 2, "needs time"),
        (("--dtype", "float12"), 2, "float32"),
        (("--memory", "some"), 2, "balanced"),
        (("--margin", "2"), 2, "margin"),
        (("--device", "cuda"), 6, "there is no device 'cuda'"),
        (("--device", "toaster"), 2, "is no device"),
    ],
)
def test_what_cannot_be_meant_or_is_not_there(cli, checkpoint, arguments, code, says):
    """The first value of a flag that is given twice does not count."""
    done = cli("bench", checkpoint, *QUICK, *arguments)
    assert done.code == code, done.err
    assert says in done.err
    assert "next:" in done.err


def test_a_model_that_is_not_there_or_has_no_gelu(cli, tmp_path):
    assert cli("bench", tmp_path / "nowhere", *QUICK).code == 6
    import transformers

    config = transformers.BertConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        vocab_size=20,
        hidden_act="relu",
    )
    transformers.BertModel(config).save_pretrained(tmp_path / "relu")
    done = cli("bench", tmp_path / "relu", *QUICK)
    assert done.code == 2
    assert "no GELU" in done.err


def test_control_c_keeps_what_was_measured(checkpoint, tmp_path):
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "gelu_patch", "bench", checkpoint, "--shapes", "1x8", "--pairs", "100000",
               "--output_dir", folder]  # fmt: skip
    with subprocess.Popen(
        [str(part) for part in command], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        deadline = time.monotonic() + 120
        while not children.read_text().strip() and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(20)
        os.killpg(process.pid, signal.SIGINT)  # the terminal sends it to parent and child
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    report = RunFolder.open(folder).report
    assert "stopped early" in report.warnings[0]
    assert report.latency[0].n_pairs >= 10
    assert read_timings(folder / "timings.parquet")
