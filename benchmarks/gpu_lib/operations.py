"""Pieces below a model: activation kernels, Linear+GELU, gated products, whole MLPs, the host's share, and errors."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from speed_lib.names import ADDMM, ADDMM_F_GELU, BIAS_APART, COPY, F_GELU, IN_PLACE, LIGER, ONE_KERNEL, OURS, STOCK
from torch import nn
from torch.nn import functional as F
from transformers import GPT2Config, T5Config
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP
from transformers.models.t5.modeling_t5 import T5DenseGatedActDense

import gelu_patch as gp
from gelu_patch.activations import activations
from gelu_patch.kernels import best_function, cublaslt
from gelu_patch.kernels.autograd import Elementwise
from gelu_patch.patching.shells import shell_of
from gelu_patch.timing.memory import measure_saved

from .machine import Bench, Json, Run

TOKENS, FORMS = 8192, ("gelu", "gelu_tanh", "gelu_quick")


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


def arms_of(module: nn.Module, memory: tuple[str, ...]) -> dict[str, nn.Module]:
    """Return stock and ours in each memory mode, as shells over the same parameters."""
    shells = {STOCK: shell_of(module)}
    for mode in memory:
        shells[OURS if mode == "balanced" else f'{OURS}, memory="{mode}"'] = shell = shell_of(module)
        gp.patch_model(shell, "gelu_fused", memory=mode)  # type: ignore[arg-type]
    return shells


def _f_gelu(module: nn.Module, approximate: str) -> nn.Module:
    shell = shell_of(module)
    shell.act = nn.GELU(approximate)
    return shell


def mlp_forward(bench: Bench, hidden: int, tokens: int) -> Json:
    """GPT-2's MLP without gradients; ``tokens`` 1 is one step of decoding, also as a CUDA graph."""
    hidden = bench.size(hidden, 32)
    module = _gpt2_mlp(bench, hidden).to(torch.bfloat16).eval()
    shells = arms_of(module, ("balanced",)) | {F_GELU: _f_gelu(module, "tanh")}
    x = bench.randn(1, bench.size(tokens, 4), hidden)
    with torch.inference_mode():
        arms: dict[str, Run] = {name: lambda shell=shell: shell(x) for name, shell in shells.items()}
        if bench.device == "cuda":
            arms |= {f"{name}, CUDA graph": _graph(run) for name, run in list(arms.items())}
        return {"samples": bench.sample(arms), "notes": {"tokens": x.shape[1], "hidden": hidden}}


def host(bench: Bench, hidden: int) -> Json:
    """Wall-clock seconds until the call returns, for one token, eager: what the host pays for a site."""
    hidden = bench.size(hidden, 32)
    module = _gpt2_mlp(bench, hidden).to(torch.bfloat16).eval()
    x = bench.randn(1, 1, hidden)
    samples: dict[str, list[float]] = {}
    calls = 2 if bench.quick else 200
    with torch.inference_mode():
        shells = arms_of(module, ("balanced",)) | {F_GELU: _f_gelu(module, "tanh")}
        for _ in range(bench.rounds):
            for name, shell in shells.items():
                bench.synchronize()
                started = time.perf_counter()
                for _ in range(calls):
                    shell(x)
                samples.setdefault(name, []).append(round((time.perf_counter() - started) / calls, 10))
    return {"samples": samples, "notes": {"hidden": hidden}}


def _gpt2_mlp(bench: Bench, hidden: int) -> nn.Module:
    config = GPT2Config(n_embd=hidden, n_head=1, resid_pdrop=0.0)
    return GPT2MLP(4 * hidden, config).to(bench.device)


def _graph(run: Run) -> Run:
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def mlp_training(bench: Bench, hidden: int) -> Json:
    """GPT-2's MLP under autocast, forward and backward, and the bytes that it keeps between them."""
    hidden = bench.size(hidden, 32)
    module = _gpt2_mlp(bench, hidden).train()
    shells = arms_of(module, ("balanced", "speed", "max")) | {F_GELU: _f_gelu(module, "tanh")}
    x = bench.randn(8, bench.size(TOKENS // 8, 4), hidden, dtype=torch.float32).requires_grad_()
    grad = bench.randn(*x.shape)

    def step(shell: nn.Module) -> None:
        with torch.autocast(bench.device, torch.bfloat16):
            out = shell(x)
        out.backward(grad)
        module.zero_grad(set_to_none=True)
        x.grad = None

    samples = bench.sample({name: lambda shell=shell: step(shell) for name, shell in shells.items()})
    return {"samples": samples, "notes": {"kept bytes": _kept(bench, shells, x, autocast=True), "hidden": hidden}}


def _kept(bench: Bench, shells: dict[str, nn.Module], x: torch.Tensor, *, autocast: bool) -> dict[str, int]:
    kept = {}
    for name, shell in shells.items():
        with torch.autocast(bench.device, torch.bfloat16, enabled=autocast):
            found = measure_saved(shell, {"hidden_states": x}, tuple(x.shape[:2]))  # type: ignore[arg-type]
        kept[name] = int(found.saved_for_backward_bytes or 0)
    return kept


def gated(bench: Bench, inner: int) -> Json:
    """T5's gated MLP in bfloat16, forward and backward; and the product alone beside Liger's, tanh form."""
    inner = bench.size(inner, 64)
    config = T5Config(d_model=bench.size(1024, 32), d_ff=inner, feed_forward_proj="gated-gelu", dropout_rate=0.0)
    module = T5DenseGatedActDense(config).to(bench.device, torch.bfloat16).train()
    x = bench.randn(1, bench.size(TOKENS, 16), config.d_model).requires_grad_()
    grad = bench.randn(*x.shape)
    shells = arms_of(module, ("balanced", "speed"))
    skipped = {}
    try:
        shells[LIGER] = _with_liger(module)
    except ImportError as error:
        skipped[LIGER] = str(error)

    def step(shell: nn.Module) -> None:
        shell(x).backward(grad)
        module.zero_grad(set_to_none=True)
        x.grad = None

    samples = bench.sample({name: lambda shell=shell: step(shell) for name, shell in shells.items()})
    notes = {"kept bytes": _kept(bench, shells, x, autocast=False), "inner": inner}
    return {"samples": samples, "skipped": skipped, "notes": notes}


def _with_liger(module: nn.Module) -> nn.Module:
    from liger_kernel.ops.geglu import LigerGELUMulFunction  # type: ignore[import-not-found]

    shell = shell_of(module)

    def forward(hidden_states: torch.Tensor) -> torch.Tensor:
        product = LigerGELUMulFunction.apply(shell.wi_0(hidden_states), shell.wi_1(hidden_states))
        return shell.wo(product)

    vars(shell)["forward"] = forward
    return shell


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
