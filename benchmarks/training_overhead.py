"""What the training loop costs beyond forward, backward and optimizer, and whether the data keeps the model waiting.

A BERT of MiniLM's size (22 M parameters, random weights) is fine-tuned by `finetune` on made-up sentences, with the
log, gradient norms by layer, looks at the activations and clipping. The calls of forward and loss, backward and the
optimizer's step are timed inside of the loop, and so are the batches; the rest is overhead. Each share is the median
over steps. Checkpoints are timed apart: how often they are written is the user's choice.

    python benchmarks/training_overhead.py            # writes benchmarks/results/training_overhead.json
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", ACCELERATE_USE_CPU="true")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast  # noqa: E402

import gelu_patch as gp  # noqa: E402
from gelu_patch.environment import fingerprint  # noqa: E402
from gelu_patch.reporting.storage.run_folder import now  # noqa: E402
from gelu_patch.tasks import LabelMap, TextExamples  # noqa: E402
from gelu_patch.tasks.base import tasks  # noqa: E402
from gelu_patch.training import gradients, step  # noqa: E402
from gelu_patch.training.loop import finetune  # noqa: E402
from gelu_patch.training.recipe import Recipe  # noqa: E402
from gelu_patch.training.saving import Saving  # noqa: E402

BAR = 0.03
WORDS = [f"w{i}" for i in range(30000)]


class Clock:
    """Seconds by part, one list entry per optimizer step."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []
        self._now: dict[str, float] = defaultdict(float)

    def timed(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``call``, with its time added to ``part``."""

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                self._now[part] += time.perf_counter() - began

        return wrapped

    def step_done(self) -> None:
        """Begin the next step."""
        self.steps.append(dict(self._now))
        self._now.clear()


def model_and_data(n: int, length: int) -> tuple[torch.nn.Module, Any, Any]:
    """A model of MiniLM's size and ``n`` sentences of about ``length`` tokens."""
    rng = np.random.default_rng(0)
    vocabulary = {word: i for i, word in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS))}
    tokenizer = BertTokenizerFast(vocab=vocabulary, model_max_length=512)
    texts = [" ".join(rng.choice(WORDS, size=rng.integers(length // 2, length))) for _ in range(n)]
    labels = tuple(str(i % 2) for i in range(n))
    examples = TextExamples(
        ids=tuple(map(str, range(n))), texts=tuple(texts), text_pairs=None, labels=labels, name="made up"
    )
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
        num_labels=2,
    )
    torch.manual_seed(0)
    task = tasks.get("text-classification")
    encoded = task.encode(examples, labels=LabelMap(("0", "1"), "made up"), tokenizer=tokenizer, max_length=length)
    return BertForSequenceClassification(config), encoded, task


def measure(steps: int, batch: int, length: int) -> dict[str, Any]:
    """Train ``steps`` steps and return the share of each part."""
    model, data, task = model_and_data(steps * batch, length)
    gp.patch_model(model, "gelu_fused")
    clock = Clock()
    data_type = type(data)
    plain = {"batch": data_type.batch, "norms": gradients.group_norms, "clip": gradients.clip}
    data_type.batch = clock.timed("data", plain["batch"])
    step.group_norms = clock.timed("gradient norms and clipping", plain["norms"])
    step.clip = clock.timed("gradient norms and clipping", plain["clip"])
    trainer_init = step.Trainer.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        trainer_init(self, *args, **kwargs)
        self.optimizer.step = clock.timed("optimizer", self.optimizer.step)
        self.accelerator.backward = clock.timed("backward", self.accelerator.backward)

    step.Trainer.__init__ = init
    totals: list[float] = []

    def on_step(record: Any, total: int) -> None:
        clock.step_done()
        totals.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as work:
        recipe = Recipe(max_train_steps=steps, per_device_train_batch_size=batch, activation_steps=100)
        began = time.perf_counter()
        saving = Saving(Path(work) / "checkpoints", every=steps + 1)
        finetune(
            model,
            data,
            recipe,
            loss=clock.timed("forward", task.loss),
            on_step=on_step,
            log_path=Path(work) / "log.jsonl",
            saving=saving,
        )
    data_type.batch, step.group_norms, step.clip = plain["batch"], plain["norms"], plain["clip"]
    step.Trainer.__init__ = trainer_init
    whole = np.diff([began, *totals])[2:]  # the first steps measure, allocate and warm up
    parts = {
        name: np.array([each.get(name, 0.0) for each in clock.steps[2:]])
        for name in ("forward", "backward", "optimizer", "data", "gradient norms and clipping")
    }
    work_time = parts["forward"] + parts["backward"] + parts["optimizer"]
    rest = whole - sum(parts.values())
    share = {name: float(np.median(values / whole)) for name, values in {**parts, "the rest": rest}.items()}
    overhead = (whole - work_time) / whole
    return {
        "batch": batch,
        "length": length,
        "steps": len(whole),
        "step_ms": float(np.median(whole) * 1e3),
        "share": share,
        "overhead_share": float(np.median(overhead)),
        "overhead_share_without_norms_and_clipping": float(
            np.median((whole - work_time - parts["gradient norms and clipping"]) / whole)
        ),
        "bar": BAR,
        "samples_ms": {name: (values * 1e3).round(4).tolist() for name, values in {**parts, "step": whole}.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "training_overhead.json")
    arguments = parser.parse_args()
    cells = [measure(arguments.steps, batch, length) for batch, length in ((8, 32), (16, 64))]
    found = {"created": now(), "cells": cells, "environment": fingerprint()}
    arguments.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for cell in cells:
        print({key: value for key, value in cell.items() if key != "samples_ms"})


if __name__ == "__main__":
    main()
