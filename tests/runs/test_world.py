"""Two processes give the bytes of one, and never fewer than were asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gelu_patch.errors import DataError
from gelu_patch.runs.world import World
from tests.tasks.tiny import save_tiny_gpt2, tiny_documents

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_gpt2(tmp_path_factory.mktemp("gpt2"))


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "documents.txt"
    path.write_text("\n\n".join(tiny_documents(15).texts))
    return path


@pytest.fixture
def run(decoder: Path, documents: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*launcher: str, output: str, flags: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        command = [*launcher, "-m", "gelu_patch", "eval", str(decoder), "--task", "causal-lm", "--data", str(documents)]
        command += ["--output_dir", str(tmp_path / output), "--batch_size", "3", "--device", "cpu", *flags]
        environment = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1", ACCELERATE_USE_CPU="true")
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)

    return run


TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29517")


@pytest.mark.slow
def test_two_processes_write_the_bytes_of_one(
    run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    alone = run(sys.executable, output="alone")
    assert alone.returncode == 0, alone.stderr
    both = run(*TORCHRUN, output="both", flags=("--num_processes", "2"))
    assert both.returncode == 0, both.stderr
    for name in ("predictions.parquet", "predictions_noise.parquet", "drift.parquet"):
        assert (tmp_path / "both" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes(), name
    assert both.stdout.count("perplexity") == 1  # the first process speaks for all
    # The identity of an evaluation does not depend on how many processes run it.
    again = run(*TORCHRUN, output="alone")
    assert again.returncode == 0, again.stderr
    assert "nothing was run" in again.stderr


@pytest.mark.slow
def test_fewer_processes_than_asked_for(run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    done = run(sys.executable, output="run", flags=("--num_processes", "2"))
    assert done.returncode == 6
    assert "2 processes were asked for and 1 runs" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_accelerate_on_a_cpu_starts_one_process_and_that_is_noticed(
    run: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    pytest.importorskip("accelerate")
    launcher = (sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2")
    done = run(*launcher, output="run")
    assert done.returncode != 0  # accelerate's own
    assert "2 processes were asked for and 1 runs" in done.stderr
    assert "torchrun --nproc_per_node 2" in done.stderr


def test_one_process_alone_needs_nobody() -> None:
    world = World.from_environment()
    assert (world.rank, world.count, world.is_first) == (0, 1, True)
    with world.joined():
        world.wait()
        assert world.all_say("x") == ["x"]
        assert world.first_only(lambda: 3) == 3

        def fails() -> None:
            raise DataError("no")

        with pytest.raises(DataError, match="no"):
            world.first_only(fails)
