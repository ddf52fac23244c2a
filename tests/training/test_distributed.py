"""Two gloo processes do what one does, and only the first one writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gelu_patch.errors import UsageError
from gelu_patch.training.log import read_log
from gelu_patch.training.loop import finetune
from gelu_patch.training.saving import Saving

from .ranks_job import bits, settings
from .toy import ToyClassifier, ToyData, toy_loss

ROOT = Path(__file__).parents[2]
PYTHONPATH = f"{os.environ.get('PYTHONPATH', '')}:{ROOT}"
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ranks")
    run = subprocess.run(
        [*TORCHRUN, "-m", "tests.training.ranks_job", str(path)],
        cwd=ROOT,
        env=dict(os.environ, OMP_NUM_THREADS="1", PYTHONPATH=PYTHONPATH, ACCELERATE_USE_CPU="true"),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-4000:]
    return path


@pytest.fixture(scope="module")
def found(directory: Path) -> list[dict[str, str]]:
    return [json.loads((directory / f"found-{rank}.json").read_text()) for rank in (0, 1)]


def test_two_processes_have_the_losses_and_weights_of_one(
    directory: Path, found: list[dict[str, str]], tmp_path: Path
) -> None:
    """With dropout: a process draws for its micro-batch what one process draws for the same one."""
    model = ToyClassifier(dropout=0.3)
    alone = settings().model_copy(update={"gradient_accumulation_steps": 2})
    finetune(model, ToyData(29), alone, loss=toy_loss, log_path=tmp_path / "log.jsonl")
    losses = [[line["loss"] for line in read_log(path / "log.jsonl")] for path in (tmp_path, directory / "whole")]
    assert len(losses[0]) == 8
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
    two, one = (np.frombuffer(bytes.fromhex(text), np.float32) for text in (found[0]["whole"], bits(model)))
    np.testing.assert_allclose(two, one, atol=1e-5)


def test_all_processes_end_with_the_same_weights(found: list[dict[str, str]]) -> None:
    assert found[0]["whole"] == found[1]["whole"]


def test_they_go_on_with_the_same_bits(directory: Path, found: list[dict[str, str]]) -> None:
    assert found[0]["continued"] == found[1]["continued"] == found[0]["whole"]
    logs = [[line["loss"] for line in read_log(directory / name / "log.jsonl")] for name in ("whole", "cut")]
    assert logs[0] == logs[1]


def test_sharded_they_do_the_same_and_go_on_with_the_same_bits(directory: Path, found: list[dict[str, str]]) -> None:
    """FSDP2, with a patched model."""
    assert found[0]["sharded"] == found[1]["sharded"] == found[0]["sharded, continued"]
    sharded, whole = (np.frombuffer(bytes.fromhex(found[0][name]), np.float32) for name in ("sharded", "whole"))
    np.testing.assert_allclose(sharded, whole, atol=1e-5)
    losses = [[line["loss"] for line in read_log(directory / name / "log.jsonl")] for name in ("sharded", "whole")]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_only_the_first_one_writes(directory: Path) -> None:
    assert [line["step"] for line in read_log(directory / "whole" / "log.jsonl")] == list(range(1, 9))
    assert [path.name for path in sorted((directory / "whole" / "checkpoints").iterdir())] == [
        "step_00000003",
        "step_00000006",
    ]


def test_different_patches_are_refused_by_all(directory: Path, found: list[dict[str, str]]) -> None:
    for rank in (0, 1):
        assert "the ranks are patched differently" in found[rank]["patches"]
        assert not (directory / f"patches-{rank}").exists()


def test_a_full_disk_stops_all_of_them(found: list[dict[str, str]]) -> None:
    assert all("cannot write the checkpoint" in each["disk"] for each in found)


def test_another_number_of_processes_is_refused(directory: Path) -> None:
    saving = Saving(directory / "whole" / "checkpoints")
    with pytest.raises(UsageError, match="of another run") as caught:
        finetune(ToyClassifier(dropout=0.3), ToyData(29), settings(), loss=toy_loss, saving=saving)
    assert "processes is 2 there and 1 here" in str(caught.value.why)
