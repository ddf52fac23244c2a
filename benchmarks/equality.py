"""Does a swap of the same mathematics train the same? Loss curves of stock and gelu_fused against the spread of seeds.

MiniLM is fine-tuned on Rotten Tomatoes in float32 for 200 steps with each seed (head, order of the data and dropout),
stock and patched. The difference between the arms of one seed is held against the standard deviation between the seeds
of stock at the same step; the bar is a twentieth of it. Curves are compared as they are, and as means over 20 steps,
where less of the spread is that of the batches. Both arms are scored on held-out sentences and compared.

    pip install --no-deps $(python -m gelu_patch.demo.data)      # the checkpoint and the sentences
    python benchmarks/equality.py                                # writes benchmarks/results/equality.json

Finished runs are reused, and an interrupted one goes on: run the same command again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402
from rich.console import Console  # noqa: E402

import gelu_patch as gp  # noqa: E402
from gelu_patch.demo.data import CHECKPOINT, load_sentences  # noqa: E402
from gelu_patch.environment import fingerprint, git_commit  # noqa: E402
from gelu_patch.reporting.storage.run_folder import REPORT, TRAINING_LOG, RunFolder, now  # noqa: E402
from gelu_patch.runs.progress import ConsoleProgress  # noqa: E402
from gelu_patch.runs.seeds import train_seeds  # noqa: E402
from gelu_patch.runs.training_job import TrainingJob  # noqa: E402
from gelu_patch.timing.arms import STOCK  # noqa: E402
from gelu_patch.training.log import read_log  # noqa: E402
from gelu_patch.training.recipe import Recipe  # noqa: E402
from gelu_patch.training.settings import Checkpointing  # noqa: E402

PATCHED = "gelu_fused"
BAR = 1 / 20  # of the spread between seeds
WINDOWS = (1, 20)  # steps
Curves = npt.NDArray[np.float64]


def job_of(activation: str, options: argparse.Namespace) -> TrainingJob:
    train, test = load_sentences(options.n_train, options.n_test)
    return TrainingJob(
        model_name_or_path=str(CHECKPOINT.locate().parent),
        model_label=f"all-MiniLM-L6-v2 ({CHECKPOINT.package})",
        train=train,
        validation=test,
        validate_each_epoch=False,
        recipe=Recipe(learning_rate=2e-4, per_device_train_batch_size=16, max_train_steps=options.steps),
        activation=activation,
        max_length=64,
    )


def trained(activation: str, options: argparse.Namespace) -> RunFolder:
    """Train what is not trained yet; a finished seed of another job is refused."""
    folder = options.runs / activation
    (folder / REPORT).unlink(missing_ok=True)  # of all seeds; it is joined from theirs again
    return train_seeds(
        job_of(activation, options),
        options.seeds,
        folder,
        progress=ConsoleProgress(Console(stderr=True)),
        checkpointing=Checkpointing(checkpointing_steps="50"),
    )


def curves_of(folder: Path, seeds: list[int]) -> Curves:
    """The losses, (seeds, steps)."""
    return np.array([[line["loss"] for line in read_log(folder / f"seed-{seed}" / TRAINING_LOG)] for seed in seeds])


def smoothed(curves: Curves, window: int) -> Curves:
    """Means over ``window`` steps, (seeds, steps - window + 1)."""
    return np.lib.stride_tricks.sliding_window_view(curves, window, axis=1).mean(axis=-1)


def held_against_spread(stock: Curves, patched: Curves, window: int) -> dict[str, Any]:
    """The differences between paired curves, and the spread between the curves of stock, in nat."""
    one, other = smoothed(stock, window), smoothed(patched, window)
    difference = np.abs(other - one)
    spread = float(one.std(axis=0, ddof=1).mean())
    return {
        "window": window,
        "largest_difference": float(difference.max()),
        "mean_difference": float(difference.mean()),
        "largest_difference_per_seed": difference.max(axis=1).tolist(),
        "seed_spread": spread,
        "bar": spread * BAR,
        "largest_below_bar": bool(difference.max() < spread * BAR),
        "mean_below_bar": bool(difference.mean() < spread * BAR),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--n_train", type=int, default=4000)
    parser.add_argument("--n_test", type=int, default=1066, help="as many as the original test split has")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "equality", help="where the runs are kept")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "equality.json")
    options = parser.parse_args()
    if len(options.seeds) < 3:
        parser.error("a spread needs at least 3 seeds")
    arms = {activation: trained(activation, options) for activation in (STOCK, PATCHED)}
    stock, patched = (curves_of(arm.path, options.seeds) for arm in arms.values())
    comparison = gp.compare(*(arm.path for arm in arms.values())).comparison
    accuracy = next(result for result in comparison.results if result.metric == "accuracy")
    found = {
        "created": now(),
        "git": git_commit(),
        "seeds": options.seeds,
        "steps": options.steps,
        "loss": [held_against_spread(stock, patched, window) for window in WINDOWS],
        "accuracy": accuracy.model_dump(mode="json") | {"n_test": options.n_test},
        "verdict": comparison.headline,
        "curves": {name: np.round(curves, 7).tolist() for name, curves in ((STOCK, stock), (PATCHED, patched))},
        "environment": fingerprint(),
    }
    options.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(*found["loss"], sep="\n")
    print(f"accuracy: {accuracy.state}, {accuracy.diff:+.4f} {accuracy.ci}; {comparison.headline}")


if __name__ == "__main__":
    main()
