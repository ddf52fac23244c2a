"""What training keeps between forward and backward, stock and patched, on a CPU in float32; and the peak of one step.

Saved bytes are those of distinct storages without parameters and buffers, in a model without head. Peak memory is
measured in a process of its own for each arm: how far the resident set rises above that of the loaded model during
training steps (forward, backward, SGD), as Linux tells it (VmHWM), with every large allocation mapped on its own so
that freed memory goes back: once with gradients that every backward makes anew, while it frees activations, and once
above gradients that are there already (gradient accumulation). Random weights; memory does not depend on their values.
Writes benchmarks/results/cpu_memory.json.

    python benchmarks/cpu_memory.py
    python benchmarks/cpu_memory.py --gradients   # compare gradients anew, keep the bytes that are in the file
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

import gelu_patch as gp
from gelu_patch.environment import fingerprint, git_commit
from gelu_patch.timing.memory import measure_saved

RESULTS = Path(__file__).parent / "results" / "cpu_memory.json"
BATCH, TOKENS = 4, 128
MIB = 2**20
STOCK, EXACT = "stock", "gelu_fused, speed"

# name: (target, memory)
ARMS: dict[str, tuple[str, str] | None] = {
    STOCK: None,
    EXACT: ("gelu_fused", "speed"),
    "gelu_fused, balanced": ("gelu_fused", "balanced"),
    "gelu_fused, max": ("gelu_fused", "max"),
    "gelu_fewbit": ("gelu_fewbit", "balanced"),
    "gelu_fewbit2": ("gelu_fewbit2", "balanced"),
}
FEWBIT_IN = ("T5 v1.1 small, encoder", "BART-base encoder, dropout after the activation")


def arms_of(name: str) -> list[str]:
    return [arm for arm in ARMS if name in FEWBIT_IN or "fewbit" not in arm]


# (model, least reduction of saved bytes against stock), from the project's plan; looked at with and without dropout.
BARS = (("GPT-2", 0.50), ("BERT-base", 0.22))
BAR_ARMS = ("gelu_fused, balanced", "gelu_fused, max")


def gpt2() -> nn.Module:
    from transformers import GPT2Config, GPT2Model

    return GPT2Model(GPT2Config(use_cache=False))


def bert() -> nn.Module:
    from transformers import BertConfig, BertModel

    return BertModel(BertConfig(), add_pooling_layer=False)


def t5() -> nn.Module:
    from transformers import T5Config, T5EncoderModel

    sizes = {"d_model": 512, "d_kv": 64, "d_ff": 1024, "num_layers": 8, "num_heads": 6}  # of T5 v1.1 small
    return T5EncoderModel(T5Config(**sizes, feed_forward_proj="gated-gelu"))


def bart() -> nn.Module:
    """Its dropout after the activation, off in the released config, is on: the next Linear keeps another tensor."""
    from transformers import BartConfig
    from transformers.models.bart.modeling_bart import BartEncoder

    sizes = {"d_model": 768, "encoder_layers": 6, "encoder_ffn_dim": 3072, "encoder_attention_heads": 12}
    return BartEncoder(BartConfig(**sizes, activation_dropout=0.1))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "GPT-2": gpt2,
    "BERT-base": bert,
    "T5 v1.1 small, encoder": t5,
    "BART-base encoder, dropout after the activation": bart,
}


def build(name: str, arm: str, *, dropout: bool) -> nn.Module:
    torch.manual_seed(0)
    return patched(MODELS[name]().train(), ARMS[arm], dropout=dropout)


def patched(model: nn.Module, wanted: tuple[str, str] | None, *, dropout: bool) -> nn.Module:
    if not dropout:
        for module in model.modules():
            for attribute, value in vars(module).items():
                if isinstance(value, float) and ("dropout" in attribute or isinstance(module, nn.Dropout)):
                    setattr(module, attribute, 0.0)
    if wanted is not None:
        gp.patch_model(model, wanted[0], memory=wanted[1])  # type: ignore[arg-type]
    return model


def batch(model: nn.Module) -> dict[str, torch.Tensor]:
    ids = torch.randint(1000, (BATCH, TOKENS), generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids}


def loss(model: nn.Module) -> torch.Tensor:
    """A fixed random projection of the output: a mean square after a LayerNorm would have next to no gradient."""
    output = model(**batch(model))[0]
    return (output * torch.randn(output.shape, generator=torch.Generator().manual_seed(2))).mean()


def gradients(model: nn.Module) -> list[torch.Tensor]:
    torch.manual_seed(1)
    loss(model).backward()
    found = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    model.zero_grad()
    return found


def saved(name: str, *, dropout: bool) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for arm in arms_of(name):
        model = build(name, arm, dropout=dropout)
        kept = measure_saved(model, batch(model), (BATCH, TOKENS))
        row[arm] = {"saved_mib": round(kept.saved_for_backward_bytes / MIB, 2)}
        row[arm]["of_stock"] = round(row[arm]["saved_mib"] / row[STOCK]["saved_mib"], 4)
    return row


def compare_gradients(name: str, row: dict[str, Any], *, dropout: bool) -> None:
    """With the gradients of the same values, everything kept: how far off each parameter's gradient is."""
    for arm in arms_of(name):
        target = (ARMS[arm] or ("", ""))[0]
        if arm in (STOCK, EXACT):
            continue
        values = "gelu" if "fewbit" in target else target
        torch.manual_seed(0)
        exact = gradients(patched(MODELS[name]().train(), (values, "speed"), dropout=dropout))
        found = gradients(build(name, arm, dropout=dropout))
        off = [float((a - b).norm() / b.norm()) for a, b in zip(found, exact, strict=True) if b.norm() > 0]
        row[arm] = {field: value for field, value in row[arm].items() if not field.startswith("gradients")}
        row[arm]["gradients_bit_equal"] = all(map(torch.equal, found, exact))
        row[arm]["gradients_off_median"] = float(f"{statistics.median(off):.3e}")
        print(f"{name:<50} {arm:<22} {row[arm]}", flush=True)


def resident(field: str) -> int:
    """Bytes, from the kernel's account of this process."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def peak_of_one(name: str, arm: str, *, dropout: bool) -> None:
    """Run in a process of its own: training steps; prints the rise of the resident set in MiB."""
    model = build(name, arm, dropout=dropout)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    with torch.no_grad():
        loss(model)  # libraries and their buffers are loaded by now
    rises = {}
    for label, gradients_stay in (("step_peak_mib", False), ("step_peak_above_gradients_mib", True)):
        if gradients_stay:
            loss(model).backward()
        before = resident("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        for _ in range(2):
            loss(model).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=not gradients_stay)
        rises[label] = round((resident("VmHWM") - before) / MIB, 1)
    print(json.dumps(rises))


def peak(name: str, arm: str, *, dropout: bool) -> dict[str, float]:
    flags = ["--peak", name, arm, str(int(dropout))]
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, *flags]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    found: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    return found


def case(name: str, dropout: bool) -> str:
    return f"{name}, {'with' if dropout else 'without'} dropout"


def measure() -> dict[str, Any]:
    table: dict[str, Any] = {}
    for name in MODELS:
        for dropout in (False, True):
            key = case(name, dropout)
            row = table[key] = saved(name, dropout=dropout)
            compare_gradients(name, row, dropout=dropout)
            for arm in arms_of(name):
                row[arm] |= peak(name, arm, dropout=dropout)
                numbers = "  ".join(f"{field} {value}" for field, value in row[arm].items())
                print(f"{key:<66} {arm:<22} {numbers}", flush=True)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peak", nargs=3, metavar=("MODEL", "ARM", "DROPOUT"), help="used by this script itself")
    parser.add_argument("--gradients", action="store_true", help="compare gradients only")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.peak:
        name, arm, dropout = arguments.peak
        peak_of_one(name, arm, dropout=dropout == "1")
        return
    if arguments.gradients:
        result = json.loads(RESULTS.read_text(encoding="utf-8"))
        for name in MODELS:
            for with_dropout in (False, True):
                compare_gradients(name, result["table"][case(name, with_dropout)], dropout=with_dropout)
        RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        return
    table = measure()
    bars = [
        {
            "model": case(model, dropout),
            "arm": arm,
            "less_than_stock": round(1 - table[case(model, dropout)][arm]["of_stock"], 4),
            "at_least": least,
        }
        for model, least in BARS
        for dropout in (False, True)
        for arm in BAR_ARMS
    ]
    result = {
        "what": f"training on a CPU in float32, batch {BATCH} x {TOKENS} tokens, models without head, random weights",
        "git": git_commit(),
        "environment": fingerprint(),
        "bars": bars,
        "table": table,
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for bar in bars:
        print("held" if bar["less_than_stock"] >= bar["at_least"] else "MISSED", bar)


if __name__ == "__main__":
    main()
