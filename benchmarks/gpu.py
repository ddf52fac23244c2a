"""Everything that is claimed about NVIDIA GPUs, measured by one command on one GPU; after 450 s no piece begins.

    python benchmarks/gpu.py              # writes benchmarks/results/gpu.json; then: python benchmarks/tables.py
    python benchmarks/gpu.py --only mlp   # the pieces that begin so; others of the same commit and GPU stay in the file
    python benchmarks/gpu.py --quick      # tiny sizes on the CPU, by Triton's interpreter: does the script still run?

Where there is no GPU, the file says so. Arms of a piece run interleaved, in an order drawn anew in every round, timed
by the GPU's own events; all samples are kept. Pieces for which no time is left are said to be not measured.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "gpu.json"
BUDGET, ROUNDS = 450.0, 11


def pieces() -> dict[str, Callable[[Any], dict[str, Any]]]:
    """Return what is measured, in the order of importance."""
    from gpu_lib import machine, mlps, models, operations

    found: dict[str, Callable[[Any], dict[str, Any]]] = {
        "ceilings": machine.ceilings,
        "errors": operations.errors,
        "mlp:forward:768:8192": partial(mlps.forward, hidden=768, tokens=8192),
        "mlp:forward:1024:8192": partial(mlps.forward, hidden=1024, tokens=8192),
        "mlp:training:768": partial(mlps.training, hidden=768),
        "mlp:training:1024": partial(mlps.training, hidden=1024),
        "linear:gelu_tanh:768:8192": partial(operations.linear, form="gelu_tanh", hidden=768, tokens=8192),
        "linear:gelu_tanh:1024:8192": partial(operations.linear, form="gelu_tanh", hidden=1024, tokens=8192),
        "linear:gelu:768:8192": partial(operations.linear, form="gelu", hidden=768, tokens=8192),
        "linear:gelu_tanh:768:512": partial(operations.linear, form="gelu_tanh", hidden=768, tokens=512),
        "linear:gelu_tanh:768:32768": partial(operations.linear, form="gelu_tanh", hidden=768, tokens=32768),
        "gated:2816": partial(mlps.gated, inner=2816),
        "gated:3072": partial(mlps.gated, inner=3072),
        "backward:gelu_tanh:768": partial(operations.backward, form="gelu_tanh", hidden=768),
        "host:768": partial(mlps.host, hidden=768),
    }
    for form in operations.FORMS:
        for megabytes in (50, 400):
            found[f"elementwise:{form}:{megabytes}"] = partial(operations.elementwise, form=form, megabytes=megabytes)
    for tokens in (1, 64, 1024):
        found[f"mlp:forward:768:{tokens}"] = partial(mlps.forward, hidden=768, tokens=tokens)
    for name in models.MODELS:
        found[f"model:{name}:infer"] = partial(models.inference, name=name)
        for precision in ("autocast", "bf16"):
            found[f"model:{name}:train:{precision}"] = partial(models.training, name=name, precision=precision)
    for name in models.MODELS:  # they take longest
        found[f"compiled:{name}:infer"] = partial(models.compiled_inference, name=name)
    for name in models.MODELS:
        found[f"compiled:{name}:train"] = partial(models.compiled_training, name=name)
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tiny sizes on the CPU; the numbers mean nothing")
    parser.add_argument("--only", action="append", default=[], help="pieces that begin so; may be repeated")
    parser.add_argument("--list", action="store_true", help="print the pieces and stop")
    parser.add_argument("--budget", type=float, default=BUDGET, help="seconds after which no further piece begins")
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser.parse_args()


def on_the_cpu() -> None:
    """Let the interpreter take the place of a GPU."""
    os.environ["TRITON_INTERPRET"] = "1"
    sys.path.insert(0, str(ROOT))
    from gelu_patch.kernels import register_kernel
    from tests.interpreted import Interpreted

    register_kernel(Interpreted())


def main() -> None:
    options = arguments()
    if options.list:
        print("\n".join(pieces()))
        return
    if options.quick:
        on_the_cpu()
    import torch
    from gpu_lib.machine import Bench, description

    from gelu_patch.environment import fingerprint, git_commit

    started = time.monotonic()
    bench = Bench(options.quick, started + options.budget, 3 if options.quick else ROUNDS)
    reached = torch.cuda.is_available() and not options.quick
    result: dict[str, Any] = {
        "reached_a_gpu": reached,
        "quick": options.quick,
        "git": git_commit(),
        "environment": fingerprint(),
        "machine": description(bench) if reached or options.quick else {},
        "pieces": {},
        "not_measured": {},
    }
    if options.only:
        result |= earlier(options.results, result)
    if not reached and not options.quick:
        result["why"] = "PyTorch found no CUDA device; every row is not measured"
        if options.results.exists() and json.loads(options.results.read_text(encoding="utf-8"))["reached_a_gpu"]:
            print(f"{result['why']}; {options.results.name} of a GPU was left as it is")
            return
        keep(options.results, result)
        print(result["why"])
        return
    chosen = {name: run for name, run in pieces().items() if not options.only or name.startswith(tuple(options.only))}
    for name, run in chosen.items():
        if bench.left <= 0:
            result["not_measured"][name] = f"the budget of {options.budget:.0f} s was spent"
            continue
        begun = time.monotonic()
        try:
            piece = run(bench)
        except Exception as error:  # one piece that fails must not cost the others; it is written down
            result["not_measured"][name] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            result["pieces"].pop(name, None)
            print(f"{name}: FAILED, {result['not_measured'][name]}", flush=True)
            continue
        finally:
            if reached:
                torch.cuda.empty_cache()
        result["not_measured"].pop(name, None)
        result["pieces"][name] = {"skipped": {}, "notes": {}} | piece | {"seconds": round(time.monotonic() - begun, 1)}
        show(name, result["pieces"][name])
        keep(options.results, result)
    result["seconds"] = round(time.monotonic() - started, 1)
    keep(options.results, result)
    print(f"{result['seconds']:.0f} s in all; {len(result['not_measured'])} pieces not measured")


def earlier(path: Path, result: dict[str, Any]) -> dict[str, Any]:
    """Return the pieces of an earlier run of the same code on the same GPU, measured and not."""
    if not path.exists():
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    same = all(found[name] == result[name] for name in ("reached_a_gpu", "quick", "git", "machine"))
    return {name: found[name] for name in ("pieces", "not_measured")} if same else {}


def keep(path: Path, result: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial_path = path.with_suffix(".part")
    partial_path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    os.replace(partial_path, path)


def show(name: str, piece: dict[str, Any]) -> None:
    fastest = {arm: f"{min(values) * 1e6:.1f}" for arm, values in piece["samples"].items()}
    print(f"{name} ({piece['seconds']} s), us: {fastest}", flush=True)
    for arm, reason in piece["skipped"].items():
        print(f"  {arm} not measured: {reason}", flush=True)


if __name__ == "__main__":
    main()
