"""Kill a training with `kill -9` again and again, while it writes checkpoints too, and let it go on each time.

A tiny BERT with fused GELUs is fine-tuned by `train_run`, whole: loading, steps, checkpoints, saving, evaluation. One
run is left alone. Others are killed at a random moment, every second time while a checkpoint is being written, and
started again with the same command. In the end the weights must have the same bytes, and the log the same lines
but for wall times. Each run is a fork of this process, which has imported everything and computed nothing.

    python benchmarks/kills.py            # writes benchmarks/results/kills.json
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", OMP_NUM_THREADS="1", ACCELERATE_USE_CPU="true")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

# Below the variables, which these read when they are imported; some only so that the forks need not import them.
import accelerate  # noqa: E402, F401
import torch  # noqa: E402
from transformers import AutoModelForSequenceClassification  # noqa: E402, F401

from gelu_patch.environment import fingerprint  # noqa: E402
from gelu_patch.reporting.storage.run_folder import TRAINING_LOG, RunFolder, now  # noqa: E402
from gelu_patch.runs.train import TrainingJob, train_run  # noqa: E402
from gelu_patch.training.checkpoints import Checkpoints  # noqa: E402
from gelu_patch.training.recipe import Recipe  # noqa: E402
from gelu_patch.training.saving import CHECKPOINTS  # noqa: E402
from gelu_patch.training.settings import Checkpointing  # noqa: E402
from tests.tasks.tiny import save_tiny_bert, tiny_examples  # noqa: E402

STEPS, EVERY = 30, 2
SECONDS_PER_RUN = 120.0


def train(checkpoint: Path, directory: Path) -> None:
    """The work that is killed."""
    torch.set_num_threads(1)
    job = TrainingJob(
        model_name_or_path=str(checkpoint),
        train=tiny_examples(64),
        recipe=Recipe(max_train_steps=STEPS, learning_rate=1e-3, activation_steps=4, gradient_accumulation_steps=2),
        activation="gelu_fused",
    )
    train_run(job, directory, checkpointing=Checkpointing(checkpointing_steps=str(EVERY)))


def train_and_tell_modules(checkpoint: Path, directory: Path) -> None:
    """Do the work and write down what it imported, so that the next forks need not."""
    train(checkpoint, directory)
    (directory / "modules.json").write_text(json.dumps(list(sys.modules)))


def import_as(directory: Path) -> None:
    """Import what ``train_and_tell_modules`` did."""
    for name in json.loads((directory / "modules.json").read_text()):
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def forked(work: Callable[[], None], errors: Path) -> int:
    """Start ``work`` in a fork of this process and return its id; what it prints goes to ``errors``."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        handle = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def is_writing(directory: Path) -> bool:
    """Whether a checkpoint is being written right now."""
    return any((directory / CHECKPOINTS).glob(".step_*.tmp"))


def wait(child: int, until: Callable[[float], bool]) -> int | None:
    """Return the exit code of ``child``, or None when ``until`` (of the seconds since now) was true before."""
    began = time.monotonic()
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        elapsed = time.monotonic() - began
        if until(elapsed) or elapsed > SECONDS_PER_RUN:
            return None
        time.sleep(0.0005)


def outcome(directory: Path) -> tuple[str, str]:
    """Hashes of the final weights and of the log without wall times."""
    weights = hashlib.sha256((directory / "model" / "model.safetensors").read_bytes()).hexdigest()
    lines = [json.loads(line) for line in (directory / TRAINING_LOG).read_text().splitlines()]
    for line in lines:
        del line["seconds"]
    return weights, hashlib.sha256(json.dumps(lines).encode()).hexdigest()


def kill_again_and_again(work: Path, kills: int, seed: int) -> dict[str, object]:
    """Return what happened; ``unusable`` counts runs that did not go on, or ended with other bytes."""
    rng = random.Random(seed)
    checkpoint, errors = save_tiny_bert(work / "model", dropout=0.1), work / "errors.txt"
    began = time.monotonic()
    left_alone = work / "left_alone"
    code = wait(forked(lambda: train_and_tell_modules(checkpoint, left_alone), errors), lambda _: False)
    if code != 0:
        raise SystemExit(f"the run that was left alone failed:\n{errors.read_text()}")
    import_as(left_alone)
    expected, began = outcome(left_alone), time.monotonic()
    if (
        wait(forked(lambda: train(checkpoint, work / "again"), errors), lambda _: False)
        or outcome(work / "again") != expected
    ):
        raise SystemExit(f"two runs that were left alone differ:\n{errors.read_text()}")
    whole = time.monotonic() - began
    found: dict[str, object] = {}
    done = while_writing = unfinished_left = finished = 0
    failures: list[str] = []
    resumed_from: list[int] = []
    directory = work / "killed"
    while done < kills or RunFolder(directory).path.exists():
        child = forked(lambda: train(checkpoint, directory), errors)
        after, aim_at_writing = rng.uniform(0, whole), done % 2 == 0

        def now_is_the_time(
            elapsed: float, wanted: bool = done < kills, after: float = after, aimed: bool = aim_at_writing
        ) -> bool:
            return wanted and elapsed > after * (0.5 if aimed else 1) and (not aimed or is_writing(directory))

        code = wait(child, now_is_the_time)
        if code is None:
            writing = is_writing(directory)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            done += 1
            while_writing += writing
            unfinished_left += is_writing(directory)
            newest = Checkpoints(directory / CHECKPOINTS).newest()
            resumed_from.append(newest.step if newest else 0)
            if not RunFolder(directory).has_report:
                continue
            code = 0  # it was killed when all was done
        finished += 1
        if code != 0:
            failures.append(errors.read_text()[-2000:])
        elif outcome(directory) != expected:
            failures.append("other bytes")
        shutil.rmtree(directory)
    found.update(
        kills=done,
        kills_while_a_checkpoint_was_written=while_writing,
        kills_that_left_half_a_checkpoint=unfinished_left,
        runs_finished=finished,
        newest_checkpoint_after_each_kill=resumed_from,
        unusable=len(failures),
        failures=failures,
        steps=STEPS,
        checkpoint_every=EVERY,
        seconds=round(time.monotonic() - began, 1),
    )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "kills.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        found = kill_again_and_again(Path(work), arguments.kills, arguments.seed)
    found = {"created": now(), "seed": arguments.seed, **found, "environment": fingerprint()}
    arguments.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print({key: value for key, value in found.items() if key not in ("environment", "failures")})
    if found["unusable"]:
        raise SystemExit(str(found["failures"]))


if __name__ == "__main__":
    main()
