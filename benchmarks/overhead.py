"""What this package costs on a model: inspection, planning, patching.

`benchmarks/package.py` measures what it costs before: import, help.

Writes benchmarks/results/overhead.json with every sample. Run it on an idle machine:

    python benchmarks/overhead.py
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel, RobertaConfig, RobertaForMaskedLM

# By name, so that their modules are loaded before the clock runs.
from gelu_patch import inspect_model, patch_model
from gelu_patch.environment import fingerprint, git_commit

RESULTS = Path(__file__).parent / "results" / "overhead.json"
REPEATS = 20


def timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def bert_12() -> torch.nn.Module:
    with torch.device("meta"):
        return BertForMaskedLM(BertConfig())


def gpt2_24() -> torch.nn.Module:
    with torch.device("meta"):
        return GPT2LMHeadModel(GPT2Config(n_layer=24))


def of_modules(number: int) -> torch.nn.Module:
    """A RoBERTa with a language-model head (whose GELU is code) of about that many modules."""
    small = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64, "vocab_size": 100}
    with torch.device("meta"):
        return RobertaForMaskedLM(RobertaConfig(num_hidden_layers=round(number / 18), **small))


def patch_and_revert(model: torch.nn.Module, target: str) -> float:
    started = time.perf_counter()
    patch = patch_model(model, target)
    seconds = time.perf_counter() - started
    patch.revert()
    return seconds


def main() -> None:
    bert, gpt2 = bert_12(), gpt2_24()
    sizes = {number: of_modules(number) for number in (100, 1_000, 10_000)}

    samples = {
        "first inspect_model, 12-layer BERT on meta": [timed(lambda: inspect_model(bert))],
        "inspect_model, 12-layer BERT on meta": [timed(lambda: inspect_model(bert)) for _ in range(REPEATS)],
        "first patch_model, 24-layer GPT-2 on meta": [patch_and_revert(gpt2, "gelu_fused")],
        "patch_model, 24-layer GPT-2 on meta": [patch_and_revert(gpt2, "gelu_fused") for _ in range(REPEATS)],
        **{
            f"inspect_model, {len(list(model.modules())):,} modules": [
                timed(lambda model=model: inspect_model(model)) for _ in range(REPEATS)
            ]
            for model in sizes.values()
        },
        **{
            f"patch_model to {target}, {len(list(model.modules())):,} modules": [
                patch_and_revert(model, target) for _ in range(REPEATS)
            ]
            for target in ("gelu_fused", "relu")
            for model in sizes.values()
        },
    }
    result = {
        "unit": "s",
        "git": git_commit(),
        "environment": fingerprint(),
        "samples": {name: [round(value, 6) for value in values] for name, values in samples.items()},
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for name, values in samples.items():
        print(f"{name:<70} median {statistics.median(values) * 1e3:8.2f} ms   worst {max(values) * 1e3:8.2f} ms")


if __name__ == "__main__":
    main()
