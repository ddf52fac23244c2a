"""Whole models on the CPU: stock, F.gelu, ours, torch.compile, onnxruntime, and the model without its activation.

A piece is model:dtype:phase:threads. Its arms run interleaved in one process over the same weights; stock is there
twice, as the A/A control. Inference is one forward of 8x128 tokens; a training step is forward and backward of 4x128,
without an optimizer. One thread is timed by its CPU time, two by the wall clock.
Every piece goes into benchmarks/results/cpu_models.json as soon as it is measured, and replaces its last measurement.

    python benchmarks/cpu_models.py                                       # all of it: about two hours
    python benchmarks/cpu_models.py --only gpt2:float32:infer --rounds 9  # two pieces: one thread, two threads
    python benchmarks/cpu_models.py --only '*:1' --without torch.compile
    python benchmarks/cpu_models.py --quick                               # does it run? no numbers of worth
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from speed_lib import store
from speed_lib.arms import ARMS, PHASES, Arm, Setting, check_output
from speed_lib.models import MODELS, SHAPES, piece_keys
from speed_lib.names import AGAIN, COMPILED, LIMIT, ONNX, OURS_COMPILED, STOCK
from speed_lib.ratios import speed
from speed_lib.rounds import Skip, check_clock, clock_name, sample
from transformers.utils import logging as transformers_logging

from gelu_patch.environment import fingerprint, git_commit
from gelu_patch.timing.inputs import text_inputs

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "cpu_models.json"
QUICK_RESULTS = ROOT / "runs" / "cpu_models_quick.json"
QUICK_PIECES = ["gpt2:float32", "bert:bfloat16:infer:1", "t5:float32:train:1", "gemma3:float32:infer:1"]
QUICK_SHAPE = (2, 16)
WARM_UPS = 2


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], help="pieces that begin so; globs; may be repeated")
    parser.add_argument("--without", action="append", default=[], choices=list(ARMS)[2:], help="leave out this arm")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--layers", type=int, help="cut every model to so many layers")
    parser.add_argument("--quick", action="store_true", help="tiny models, three rounds, no compiler")
    parser.add_argument("--results", type=Path, help="another file than benchmarks/results/cpu_models.json")
    parser.add_argument("--list", action="store_true", help="print the pieces and stop")
    found = parser.parse_args()
    if found.quick:
        found.rounds, found.layers = 3, None
        found.without += [COMPILED, OURS_COMPILED, ONNX]
        found.only = found.only or QUICK_PIECES
    found.results = found.results or (QUICK_RESULTS if found.quick else RESULTS)
    return found


def prepare(key: str, options: argparse.Namespace) -> Setting:
    name, dtype, phase, threads = key.split(":")
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    row = MODELS[name]
    model = row.build(getattr(torch, dtype), options.layers, tiny=options.quick)
    tokens = text_inputs(model, QUICK_SHAPE if options.quick else SHAPES[phase])["input_ids"]
    return Setting(row, model, {"input_ids": tokens}, phase, int(threads))


def make_arms(setting: Setting, without: list[str]) -> tuple[dict[str, Arm], dict[str, str]]:
    """Return the arms that can be measured, warm, and the reasons of the others."""
    arms: dict[str, Arm] = {}
    skipped: dict[str, str] = {}
    for name, make in ARMS.items():
        if name in without or PHASES.get(name, setting.phase) != setting.phase:
            continue
        try:
            arm = make(setting)
            if name == STOCK:
                expected = arm.output().float()
            if name != LIMIT:
                check_output(arm, setting, expected)
            for _ in range(WARM_UPS):
                arm.run()
            check_clock(arm.run, setting.threads)
        except Skip as reason:
            skipped[name] = str(reason)
        else:
            arms[name] = arm
    return arms, skipped


def measure(key: str, options: argparse.Namespace) -> dict[str, Any]:
    setting = prepare(key, options)
    arms, skipped = make_arms(setting, options.without)
    if reasons := [skipped[name] for name in (STOCK, AGAIN) if name in skipped]:
        raise Skip(reasons[0])
    samples = sample({name: arm.run for name, arm in arms.items()}, options.rounds, setting.threads)
    return {
        "title": setting.row.title,
        "git": git_commit(),
        "environment": fingerprint() | {"cpu_capability": torch.backends.cpu.get_cpu_capability()},
        "clock": clock_name(setting.threads),
        "shape": list(setting.inputs["input_ids"].shape),
        "layers": min(options.layers or setting.row.layers, setting.row.layers),
        "layers_of_the_model": setting.row.layers,
        "quick": options.quick,
        "notes": setting.notes,
        "skipped": skipped,
        "samples": samples,
    }


def show(piece: dict[str, Any]) -> None:
    samples = piece["samples"]
    for name, values in samples.items():
        found = "" if name == STOCK else f"stock / {name}: {speed(samples, name, STOCK)}"
        middle = statistics.median(values)
        print(f"  {name:<22} min {min(values) * 1e3:9.2f}  median {middle * 1e3:9.2f} ms   {found}")
    for name, reason in piece["skipped"].items():
        print(f"  {name:<22} not measured: {reason.splitlines()[0]}")


def main() -> None:
    options = arguments()
    keys = store.chosen(piece_keys(), options.only)
    if not keys:
        raise SystemExit(f"no piece matches {options.only}; --list prints them all")
    if options.list:
        print("\n".join(keys))
        return
    # Transformers reports every weight of a layer that was cut, and tokens that a tiny vocabulary has not.
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    for key in keys:
        print(key, flush=True)
        started = time.perf_counter()
        try:
            piece = measure(key, options)
        except Skip as reason:
            print(f"  not measured: {reason}")
            continue
        piece["seconds"] = round(time.perf_counter() - started, 1)
        store.keep(options.results, key, piece, piece_keys())
        show(piece)
        print(f"  {options.rounds} rounds, {piece['seconds']:.0f} s in all", flush=True)


if __name__ == "__main__":
    main()
