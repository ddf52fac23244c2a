"""The CPU kernels beside PyTorch, Transformers and onnxruntime: elementwise, one thread, CPU time of the thread.

Arms of one case run interleaved in one process, in an order drawn anew each round, so that a slow moment of the
machine, and whatever the arm before leaves in the caches, meets all of them. Writes
benchmarks/results/cpu_elementwise.json with every sample (ns per element); ratios are of the minima over rounds, which
other processes disturb least, with those of the medians beside.

    OMP_NUM_THREADS=1 python benchmarks/cpu_elementwise.py [--rounds 7]
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F
from transformers.activations import ACT2FN

from gelu_patch.environment import fingerprint, git_commit
from gelu_patch.kernels import Request, kernels, select
from gelu_patch.kernels.cpu.library import SLOPE, VALUE, Library, library

RESULTS = Path(__file__).parent / "results" / "cpu_elementwise.json"
IN_CACHE, OUT_OF_CACHE = (128, 3072), (4096, 3072)
CALLS_NS = 3e6  # CPU time of one sample: long against the clock's resolution, short against a time slice
PLACEMENTS = 4
Arm = Callable[[], object]

# (case, ours, other, floor, goal): how many times faster ours must be. From the project's plan.
BARS = (
    ("tanh forward float32", "ours", "gelu_new of Transformers", 12.0, 18.0),
    ("tanh forward float32", "ours", "F.gelu", 5.0, 7.0),
    ("tanh forward float32", "ours", "onnxruntime FastGelu", 1.8, 1.8),
    ("tanh backward float32", "ours", "ATen", 4.0, 5.0),
    ("erf forward float32", "ours", "F.gelu", 1.0, 1.0),
    ("erf backward float32", "ours", "ATen", 1.6, 1.9),
    ("tanh forward bfloat16", "ours", "F.gelu", 6.0, 8.0),
    ("erf forward bfloat16", "ours", "F.gelu", 1.3, 1.5),
    ("quick forward bfloat16", "ours", "quick_gelu of Transformers", 3.5, 4.5),
    ("out of cache tanh float32", "ours, in place", "gelu_new of Transformers", 50.0, 80.0),
    ("out of cache tanh float32", "ours, in place", "in-place ReLU", 1 / 1.5, 1.0),
)


def launcher(name: str, x: torch.Tensor, out: torch.Tensor, grad: torch.Tensor | None = None) -> Arm:
    found = library()
    assert isinstance(found, Library)
    return lambda: found.run(name, x.dtype, VALUE if grad is None else SLOPE, out, x, grad)


def onnx_arm(x: torch.Tensor, operator: str) -> Arm | None:
    """One operator of onnxruntime's own domain, with bound memory, in one thread."""
    try:
        import onnx
        import onnxruntime as ort
    except ImportError:
        return None
    info = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, list(x.shape)) for name in "xy"]
    node = onnx.helper.make_node(operator, ["x"], ["y"], domain="com.microsoft")
    graph = onnx.helper.make_graph([node], "one", info[:1], info[1:])
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("com.microsoft", 1)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    source, target = x.numpy(), torch.empty_like(x).numpy()
    binding = session.io_binding()
    binding.bind_cpu_input("x", source)
    binding.bind_output("y", "cpu", 0, target.dtype, target.shape, target.ctypes.data)

    def run(owners: tuple[object, object] = (source, target)) -> None:  # the binding does not keep them alive
        session.run_with_iobinding(binding)

    return run


def forward_arms(form: str, dtype: torch.dtype, shape: tuple[int, int]) -> dict[str, Arm]:
    x = (1.5 * torch.randn(shape)).to(dtype)
    out = torch.empty_like(x)
    name = {"erf": "gelu", "tanh": "gelu_tanh", "quick": "gelu_quick"}[form]
    function = kernels.get("cpu").function(name)
    arms: dict[str, Arm] = {"ours": launcher(name, x, out), "ours, called as a function": lambda: function(x)}
    if form == "quick":
        arms["quick_gelu of Transformers"] = lambda: ACT2FN["quick_gelu"](x)
    else:
        approximate = "tanh" if form == "tanh" else "none"
        arms["F.gelu"] = lambda: torch.ops.aten.gelu.out(x, approximate=approximate, out=out)
        arms["F.gelu again"] = lambda: torch.ops.aten.gelu.out(x, approximate=approximate, out=out)
    if form == "tanh":
        stock = ACT2FN["gelu_new"]
        arms["gelu_new of Transformers"] = lambda: stock(x)
    if dtype == torch.float32:
        onnx = onnx_arm(x, {"erf": "Gelu", "tanh": "FastGelu", "quick": "QuickGelu"}[form])
        if onnx is not None:
            arms[f"onnxruntime {'FastGelu' if form == 'tanh' else 'Gelu' if form == 'erf' else 'QuickGelu'}"] = onnx
    arms["copy"] = lambda: out.copy_(x)
    return arms


def backward_arms(form: str, dtype: torch.dtype, shape: tuple[int, int]) -> dict[str, Arm]:
    x, grad = (1.5 * torch.randn(shape)).to(dtype), torch.randn(shape).to(dtype)
    out = torch.empty_like(x)
    name = {"erf": "gelu", "tanh": "gelu_tanh", "quick": "gelu_quick"}[form]
    arms: dict[str, Arm] = {"ours": launcher(name, x, out, grad)}
    if form == "quick":
        arms["ATen"] = lambda: torch.ops.aten.silu_backward(grad, x)
    else:
        approximate = "tanh" if form == "tanh" else "none"
        # Not the form with grad_input=, which leaves oneDNN's path and is slower.
        arms["ATen"] = lambda: torch.ops.aten.gelu_backward(grad, x, approximate=approximate)
    return arms


def autograd_arms() -> dict[str, Arm]:
    x, grad = (1.5 * torch.randn(IN_CACHE)).requires_grad_(), torch.randn(IN_CACHE)

    def step(function: Callable[[torch.Tensor], torch.Tensor]) -> Arm:
        return lambda: torch.autograd.grad(function(x), x, grad)

    return {
        "ours": step(kernels.get("cpu").function("gelu_tanh")),
        "F.gelu": step(lambda v: F.gelu(v, approximate="tanh")),
        "gelu_new of Transformers": step(ACT2FN["gelu_new"]),
    }


def out_of_cache_arms(form: str, dtype: torch.dtype) -> dict[str, Arm]:
    """In place, since the pages of a fresh result cost more than any activation."""
    x = (1.5 * torch.randn(OUT_OF_CACHE)).to(dtype)
    name = {"erf": "gelu", "tanh": "gelu_tanh", "quick": "gelu_quick"}[form]
    buffer, positive = x.clone(), x.clone()
    arms: dict[str, Arm] = {
        "ours, in place": launcher(name, buffer, buffer),
        "in-place ReLU": lambda: positive.relu_(),
        "copy": lambda: positive.copy_(x),
    }
    if form == "tanh":
        stock = ACT2FN["gelu_new"]
        arms["gelu_new of Transformers"] = lambda: stock(x)
        arms["F.gelu, fresh output"] = lambda: F.gelu(x, approximate="tanh")
        function = kernels.get("cpu").function(name)
        arms["ours, fresh output"] = lambda: function(x)
    return arms


def small_arms() -> dict[str, Arm]:
    x = torch.randn(16)
    function = kernels.get("cpu").function("gelu_tanh")
    return {
        "ours": lambda: function(x),
        "F.gelu": lambda: F.gelu(x, approximate="tanh"),
        "gelu_new of Transformers": lambda: ACT2FN["gelu_new"](x),
    }


def cases() -> dict[str, tuple[Callable[[], dict[str, Arm]], int]]:
    """Name -> a maker of the arms (with tensors of their own), and elements."""
    found: dict[str, tuple[Callable[[], dict[str, Arm]], int]] = {}
    inside, outside = IN_CACHE[0] * IN_CACHE[1], OUT_OF_CACHE[0] * OUT_OF_CACHE[1]
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        for form in ("erf", "tanh", "quick"):
            label = str(dtype)[6:]
            found[f"{form} forward {label}"] = (partial(forward_arms, form, dtype, IN_CACHE), inside)
            found[f"{form} backward {label}"] = (partial(backward_arms, form, dtype, IN_CACHE), inside)
    found["tanh forward and backward by autograd float32"] = (autograd_arms, inside)
    for dtype in (torch.float32, torch.bfloat16):
        found[f"out of cache tanh {str(dtype)[6:]}"] = (partial(out_of_cache_arms, "tanh", dtype), outside)
    found["out of cache erf float32"] = (partial(out_of_cache_arms, "erf", torch.float32), outside)
    found["sixteen elements tanh float32"] = (small_arms, 16)
    return found


def cpu_time(arm: Arm, calls: int) -> int:
    started = time.thread_time_ns()
    for _ in range(calls):
        arm()
    return time.thread_time_ns() - started


def measure(make: Callable[[], dict[str, Arm]], elements: int, rounds: int) -> dict[str, list[float]]:
    """Sample every arm in every round; PLACEMENTS times with fresh tensors, whose pages may collide in the caches."""
    samples: dict[str, list[float]] = {}
    shuffle = random.Random(0).shuffle
    for _ in range(PLACEMENTS):
        arms = make()
        names = list(arms)
        calls = {}
        for name, arm in arms.items():
            cpu_time(arm, 2)  # warm: pages, caches, choices of algorithm
            calls[name] = max(1, round(CALLS_NS / max(cpu_time(arm, 1), 1)))
        for _ in range(rounds):
            shuffle(names)
            for name in names:
                spent = cpu_time(arms[name], calls[name]) / calls[name] / elements
                samples.setdefault(name, []).append(round(spent, 4))
    return samples


def ratio(samples: dict[str, list[float]], ours: str, other: str) -> dict[str, float]:
    return {
        "of minima": round(min(samples[other]) / min(samples[ours]), 3),
        "of medians": round(statistics.median(samples[other]) / statistics.median(samples[ours]), 3),
    }


def bars(samples: dict[str, dict[str, list[float]]]) -> list[dict[str, Any]]:
    return [
        {"case": case, "ours": ours, "other": other, "floor": round(floor, 3), "goal": goal}
        | ratio(samples[case], ours, other)
        for case, ours, other, floor, goal in BARS
        if other in samples[case]
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="per placement of the tensors")
    rounds = parser.parse_args().rounds
    torch.manual_seed(0)
    torch.set_num_threads(1)
    samples = {}
    for case, (make, elements) in cases().items():
        with torch.set_grad_enabled("autograd" in case):
            samples[case] = measure(make, elements, rounds)
        print(case)
        for name, values in samples[case].items():
            print(
                f"  {name:<32} min {min(values):8.3f}  median {statistics.median(values):8.3f} ns/element", flush=True
            )
    table = bars(samples)
    for row in table:
        reached = [word for word in ("floor", "goal") if row["of minima"] >= row[word]]
        print(
            f"{row['case']:<28} {row['ours']} / {row['other']:<28} {row['of minima']:7.2f} ({row['of medians']:.2f}) "
            f"floor {row['floor']:.2f} goal {row['goal']:.2f}: {reached[-1:] or 'MISSED'}"
        )
    result = {
        "unit": "ns of thread CPU time per element",
        "threads": 1,
        "kernel": str(select(Request("gelu_tanh", "cpu", torch.float32))),
        "git": git_commit(),
        "environment": fingerprint(),
        "ratios": table,
        "samples": samples,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
