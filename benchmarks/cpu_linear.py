"""Linear+GELU on the CPU in one thread: the product alone (MKL, oneDNN), with each GELU, fused by oneDNN, and ours.

A piece is form:dtype:inner-outer:rows, for nn.Linear as in BERT and Conv1D as in GPT-2. Its arms run interleaved in one
process over the same weights, without gradients; the product alone is there twice, as the A/A control.
Every piece goes into benchmarks/results/cpu_linear.json as soon as it is measured, and replaces its last measurement.

    python benchmarks/cpu_linear.py                              # all of it
    python benchmarks/cpu_linear.py --only linear:float32        # some of it
    python benchmarks/cpu_linear.py --quick                      # does it run? numbers of no worth
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from speed_lib import store
from speed_lib.linear import FORMS, arms_of, piece_keys
from speed_lib.names import MKL, OURS
from speed_lib.ratios import speed
from speed_lib.rounds import Run, Skip, check_clock, clock_name, sample

from gelu_patch.environment import fingerprint, git_commit

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "cpu_linear.json"
QUICK_RESULTS = ROOT / "runs" / "cpu_linear_quick.json"
QUICK_PIECES = ["linear:float32:384-1536:128", "conv1d:bfloat16:384-1536:128"]
SAMPLE_S = 10e-3  # CPU time of one sample at least: long against the clock's resolution


def calls_of(run: Run) -> int:
    run(), run()
    started = time.thread_time()
    run()
    return max(1, round(SAMPLE_S / max(time.thread_time() - started, 1e-6)))


def measure(key: str, rounds: int) -> dict[str, Any]:
    form, dtype, sizes, rows = key.split(":")
    inner, outer = map(int, sizes.split("-"))
    torch.manual_seed(0)
    with torch.no_grad():  # not inference_mode, which would make the weights inference tensors: a user's are none
        arms, skipped = arms_of(FORMS[form], getattr(torch, dtype), inner, outer, int(rows))
        calls = {name: calls_of(run) for name, run in arms.items()}
        for run in arms.values():
            check_clock(run, threads=1)
        samples = sample(arms, rounds, 1, calls=calls)
    return {
        "title": FORMS[form].title,
        "git": git_commit(),
        "environment": fingerprint() | {"cpu_capability": torch.backends.cpu.get_cpu_capability()},
        "clock": clock_name(1),
        "skipped": skipped,
        "samples": samples,
    }


def show(piece: dict[str, Any]) -> None:
    samples = piece["samples"]
    for name, values in samples.items():
        middle = statistics.median(values)
        found = "" if name == MKL else f"{name} / {MKL}: {speed(samples, MKL, name)}"
        print(f"  {name:<22} min {min(values) * 1e3:8.3f}  median {middle * 1e3:8.3f} ms   {found}")
    for name, reason in piece["skipped"].items():
        print(f"  {name:<22} not measured: {reason.splitlines()[0]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], help="pieces that begin so; globs; may be repeated")
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--quick", action="store_true", help="two pieces, three rounds")
    parser.add_argument("--results", type=Path, help="another file than benchmarks/results/cpu_linear.json")
    options = parser.parse_args()
    rounds = 3 if options.quick else options.rounds
    results = options.results or (QUICK_RESULTS if options.quick else RESULTS)
    keys = store.chosen(piece_keys(), options.only or (QUICK_PIECES if options.quick else []))
    if not keys:
        raise SystemExit(f"no piece matches {options.only}; there are {', '.join(piece_keys())}")
    torch.set_num_threads(1)
    for key in keys:
        started = time.perf_counter()
        print(key, flush=True)
        try:
            piece = measure(key, rounds)
        except Skip as reason:
            raise SystemExit(f"{key}: {reason}") from None
        assert OURS in piece["samples"], piece["skipped"]
        store.keep(results, key, piece | {"quick": options.quick}, piece_keys())
        show(piece)
        print(f"  {rounds} rounds, {time.perf_counter() - started:.0f} s in all", flush=True)


if __name__ == "__main__":
    main()
