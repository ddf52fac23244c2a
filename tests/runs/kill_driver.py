"""Run by test_resume.py: kill an evaluation at random moments, run it again, and compare the bytes.

    python kill_driver.py CHECKPOINT FOLDER KILLS

Torch is imported once; each evaluation is a child made by fork, whose batches are slow enough to be hit. Prints one
line per kill: how far the killed one had come, and whether the rerun ended with the bytes of an undisturbed run.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")  # a child of fork has no other threads

import torch

from gelu_patch.patching import patch_model
from gelu_patch.runs.evaluate import EvaluationJob, evaluate_run
from gelu_patch.runs.shards import ShardStore
from gelu_patch.tasks import tasks
from tests.tasks.tiny import tiny_documents

SECONDS_PER_BATCH = 0.02


def evaluate(checkpoint: str, folder: Path) -> None:
    """One evaluation in this process, a shard for every batch."""
    job = EvaluationJob(
        source=checkpoint,
        data=tiny_documents(24),
        task="causal-lm",
        activation="gelu_fused",
        per_device_eval_batch_size=2,
        noise_examples=0,
    )
    evaluate_run(job, folder, seconds_between_shards=0.0)


def slow_down() -> None:
    """Make every batch slow enough to be hit."""
    task = tasks.get("causal-lm")
    answer = task.answer

    def slowly(*arguments):
        time.sleep(SECONDS_PER_BATCH)
        return answer(*arguments)

    task.answer = slowly


def child(checkpoint: str, folder: Path) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            evaluate(checkpoint, folder)
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
        os._exit(0)
    return pid


def main() -> None:
    checkpoint, root, kills = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    slow_down()
    # What is imported here, no child imports. Not a whole evaluation: its threads would not survive the fork.
    patch_model(tasks.get("causal-lm").load(checkpoint).model, "gelu_fused")
    for name in ("whole", "again"):  # the first one still imports this and that
        started = time.monotonic()
        assert os.waitpid(child(checkpoint, root / name), 0)[1] == 0
        needed = time.monotonic() - started
    expected = (root / "whole" / "predictions.parquet").read_bytes()
    moments = random.Random(int(os.environ.get("KILL_SEED", time.time_ns())))
    print(f"an undisturbed run takes {needed:.2f} s")
    for number in range(kills):
        folder = root / f"killed-{number}"
        pid = child(checkpoint, folder)
        time.sleep((number + moments.random()) / kills * needed)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        finished = (folder / "report.json").exists()
        shards = len(list(ShardStore(folder / "shards", "").folder.glob("*.parquet")))
        assert os.waitpid(child(checkpoint, folder), 0)[1] == 0
        same = (folder / "predictions.parquet").read_bytes() == expected
        left = sorted(path.name for path in folder.iterdir() if path.name in {"shards", "predictions_partial.parquet"})
        print(f"kill {number} shards {shards} finished {int(finished)} same {int(same)} left {left}", flush=True)


if __name__ == "__main__":
    main()
