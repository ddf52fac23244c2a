"""Eight threads infer while another patches and reverts; every output is compared with the stock and the patched one.

Writes benchmarks/results/threads.json:

    python benchmarks/threads.py [--seconds 60]
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel

import gelu_patch as gp
from gelu_patch.environment import fingerprint, git_commit

RESULTS = Path(__file__).parent / "results" / "threads.json"
READERS = 8


@dataclass
class Result:
    """What a run counted. ``wrong`` are outputs that are neither the stock nor the patched one."""

    inferences: int = 0
    patches: int = 0
    stock: int = 0
    patched: int = 0
    wrong: int = 0
    errors: list[str] = field(default_factory=list)


def run(
    model: torch.nn.Module,
    inputs: Mapping[str, torch.Tensor],
    target: str,
    *,
    where: Any = None,
    seconds: float,
    min_patches: int = 0,
    patch: Callable[..., Any] = gp.patch_model,
) -> Result:
    """Infer in READERS threads while one thread patches and reverts, for ``seconds`` and ``min_patches``.

    An output counts as the stock or the patched one when no element differs by more than 1e-5 of the largest
    value; both are computed alone, before the threads start.
    """
    stock = infer(model, inputs)
    handle = patch(model, target, where)
    expected = infer(model, inputs)
    handle.revert()
    tolerance = 1e-5 * float(stock.abs().max())
    result, lock, stop = Result(), threading.Lock(), threading.Event()

    def read() -> None:
        counts = dict.fromkeys(("inferences", "stock", "patched", "wrong"), 0)
        try:
            while not stop.is_set():
                found = infer(model, inputs)
                counts["inferences"] += 1
                counts[classify(found, stock, expected, tolerance)] += 1
        except Exception as error:
            result.errors.append(repr(error))
        with lock:
            for name, count in counts.items():
                setattr(result, name, getattr(result, name) + count)

    def write() -> None:
        try:
            while not stop.is_set():
                handle = patch(model, target, where)
                time.sleep(1e-4)  # gives the readers a turn with the patch on, and one with it off
                handle.revert()
                time.sleep(1e-4)
                result.patches += 1
        except Exception as error:
            result.errors.append(repr(error))

    threads = [threading.Thread(target=read) for _ in range(READERS)] + [threading.Thread(target=write)]
    for thread in threads:
        thread.start()
    started = time.monotonic()
    while time.monotonic() < started + seconds or (result.patches < min_patches and not result.errors):
        time.sleep(0.05)
    stop.set()
    for thread in threads:
        thread.join()
    return result


def classify(found: torch.Tensor, stock: torch.Tensor, patched: torch.Tensor, tolerance: float) -> str:
    """Say which of the two an output is; of two that agree, the first."""
    if (found - stock).abs().max() <= tolerance:
        return "stock"
    return "patched" if (found - patched).abs().max() <= tolerance else "wrong"


def infer(model: torch.nn.Module, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    with torch.no_grad():
        out = model(**inputs)
    return out if isinstance(out, torch.Tensor) else out[0]


def bert() -> torch.nn.Module:
    return BertForMaskedLM(
        BertConfig(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, vocab_size=100,
            initializer_range=0.2,
        )
    ).eval()  # fmt: skip


def gpt2() -> torch.nn.Module:
    config = GPT2Config(n_layer=2, n_embd=32, n_head=2, vocab_size=100, initializer_range=0.2, use_cache=False)
    return GPT2LMHeadModel(config).eval()


# With other mathematics a forward that runs during a patch of several sites sees some of them patched and some
# not: that is the documented rule, so one site is patched there.
ARMS = {
    "BERT, gelu_fused at all sites": (bert, "gelu_fused", None),
    "GPT-2, gelu_fused at all sites": (gpt2, "gelu_fused", None),
    "BERT, relu at one site": (bert, "relu", "layer.0.*"),
    "GPT-2, relu at one site": (gpt2, "relu", "h.0.*"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the whole run")
    seconds = parser.parse_args().seconds
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sys.setswitchinterval(1e-4)
    inputs = {"input_ids": torch.arange(1, 17).reshape(2, 8)}
    results = {}
    for name, (build, target, where) in ARMS.items():
        results[name] = run(build(), inputs, target, where=where, seconds=seconds / len(ARMS))
        print(f"{name:<36} {results[name]}", flush=True)
    content = {
        "git": git_commit(),
        "environment": fingerprint(),
        "seconds": seconds,
        "reading_threads": READERS,
        "inferences": sum(result.inferences for result in results.values()),
        "patches": sum(result.patches for result in results.values()),
        "wrong": sum(result.wrong for result in results.values()),
        "arms": {name: asdict(result) for name, result in results.items()},
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
