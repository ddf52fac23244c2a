"""Pieces without modules: activation kernels, what a backward pass needs of them, Linear+GELU, and errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from speed_lib.names import ADDMM, ADDMM_F_GELU, BIAS_APART, COPY, F_GELU, IN_PLACE, ONE_KERNEL, OURS
from torch.nn import functional as F

from gelu_patch.activations import activations
from gelu_patch.kernels import best_function, cublaslt
from gelu_patch.kernels.autograd import Elementwise

from .machine import TOKENS, Bench, Json, Run

FORMS = ("gelu", "gelu_tanh", "gelu_quick")


def kernel_of(bench: Bench, form: str, dtype: torch.dtype = torch.bfloat16) -> Elementwise:
    found = best_function(form, bench.device, dtype)
    assert isinstance(found, Elementwise), f"no kernel with launches for {form} on {bench.device}"
    return found


def aten(form: str, x: torch.Tensor) -> torch.Tensor:
    if form == "gelu_quick":
        return x * torch.sigmoid(1.702 * x)
    return F.gelu(x, approximate="tanh" if form == "gelu_tanh" else "none")


def elementwise(bench: Bench, form: str, megabytes: int) -> Json:
    """Forward and backward over one bfloat16 tensor, written to memory that is there, beside a copy of it."""
    n = bench.size(megabytes * 10**6 // 2, 4096)
    x, grad = bench.randn(n), bench.randn(n)
    out, kernel = torch.empty_like(x), kernel_of(bench, form)
    arms: dict[str, Run] = {
        COPY: lambda: out.copy_(x),
        f"{OURS}, forward": lambda: kernel.value(out, x),
        f"{OURS}, backward": lambda: kernel.slope(out, x, grad),
    }
    if form != "gelu_quick":
        approximate = "tanh" if form == "gelu_tanh" else "none"
        arms[f"{F_GELU}, forward"] = lambda: torch.ops.aten.gelu.out(x, approximate=approximate, out=out)
        arms[f"{F_GELU}, backward"] = lambda: torch.ops.aten.gelu_backward.grad_input(
            grad, x, approximate=approximate, grad_input=out
        )
    samples = bench.sample(arms)
    moved = {name: (6 if "backward" in name else 4) * n for name in arms}
    rates = {name: moved[name] / min(values) for name, values in samples.items()}
    return {"samples": samples, "notes": {"bytes per second": rates, "elements": n}}


def backward(bench: Bench, form: str, hidden: int) -> Json:
    """What a backward pass of an MLP needs of its activation: gradient, its column sums, the value again."""
    from gelu_patch.kernels.triton import launches

    rows, columns = bench.size(TOKENS, 64), bench.size(4 * hidden, 256)
    x, grad = bench.randn(rows, columns), bench.randn(rows, columns)
    out, again, kernel = torch.empty_like(x), torch.empty_like(x), kernel_of(bench, form)
    assert kernel.slope_with_sums is not None
    with_sums = kernel.slope_with_sums

    def apart() -> None:
        kernel.value(again, x)
        kernel.slope(out, x, grad)
        out.sum(0)

    def as_used() -> None:
        kernel.value(again, x)
        with_sums(out, x, grad)

    arms: dict[str, Run] = {
        "three passes": apart,
        f"{OURS}: two, the sums with the gradient": as_used,
        "all in one": lambda: launches.backward_with_sums(form, out, x, grad, again=again),
    }
    return {"samples": bench.sample(arms), "notes": {"rows": rows, "columns": columns}}


def linear(bench: Bench, form: str, hidden: int, tokens: int) -> Json:
    """Up projection and activation without gradients, Conv1D layout."""
    hidden, tokens = bench.size(hidden, 32), bench.size(tokens, 16)
    x, weight, bias = bench.randn(tokens, hidden), bench.randn(hidden, 4 * hidden), bench.randn(4 * hidden)
    kernel = kernel_of(bench, form)

    def in_place() -> torch.Tensor:
        out = torch.addmm(bias, x, weight)
        kernel.overwrite(out)
        return out

    arms: dict[str, Callable[[], torch.Tensor]] = {
        ADDMM: lambda: torch.addmm(bias, x, weight),
        ADDMM_F_GELU: lambda: aten(form, torch.addmm(bias, x, weight)),
        IN_PLACE: in_place,
        BIAS_APART: lambda: _bias_apart(form, x, weight, bias),
    }
    skipped = {}
    if form == cublaslt.ACTIVATION:
        reason = cublaslt.why_not(form, x.device, x.dtype)
        if reason:
            skipped[ONE_KERNEL] = reason
        else:
            arms[ONE_KERNEL] = lambda: cublaslt.linear_gelu(bias, x, weight)
    with torch.inference_mode():
        return {"samples": bench.sample(arms), "skipped": skipped, "notes": {"tokens": tokens, "hidden": hidden}}


def _bias_apart(form: str, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    from gelu_patch.kernels.triton import launches

    out = x @ weight
    launches.forward(form, out, out, bias)
    return out


def errors(bench: Bench) -> Json:
    """The largest error over [-10, 10] of values and derivatives against float64: ours, PyTorch's op, and Python."""
    table: dict[str, dict[str, dict[str, float]]] = {}
    for form in FORMS:
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            x = torch.linspace(-10, 10, bench.size(2**20, 2**10), dtype=torch.float64).to(dtype).unique()
            wide = x.double().numpy()
            functions: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
                OURS: kernel_of(bench, form, dtype),
                F_GELU: lambda z, form=form: aten(form, z),
            }
            if form == "gelu_tanh":
                functions["gelu_new"] = _gelu_new
            for name, function in functions.items():
                leaf = x.to(bench.device).requires_grad_()
                y = function(leaf)
                (slope,) = torch.autograd.grad(y, leaf, torch.ones_like(y))
                truth = activations.get(form)
                table.setdefault(f"{form}, {str(dtype)[6:]}", {})[name] = {
                    "value": _largest(y.detach(), truth.formula(wide)),
                    "derivative": _largest(slope, truth.derivative(wide)),
                }
    return {"samples": {}, "notes": {"largest error": table}}


def _largest(found: torch.Tensor, truth: Any) -> float:
    return float(abs(found.cpu().double().numpy() - truth).max())


def _gelu_new(x: torch.Tensor) -> torch.Tensor:
    from transformers.activations import NewGELUActivation

    found: Any = NewGELUActivation()(x)
    return found  # type: ignore[no-any-return]
