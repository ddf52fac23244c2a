"""Pieces around one MLP: GPT-2's without and with gradients, what the host pays for it, and T5's gated one."""

from __future__ import annotations

import time

import torch
from speed_lib.names import F_GELU, LIGER, OURS, STOCK
from torch import nn
from transformers import GPT2Config, T5Config
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP
from transformers.models.t5.modeling_t5 import T5DenseGatedActDense

import gelu_patch as gp
from gelu_patch.patching.shells import shell_of
from gelu_patch.timing.memory import measure_saved

from .machine import TOKENS, Bench, Json, Run


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


def forward(bench: Bench, hidden: int, tokens: int) -> Json:
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


def training(bench: Bench, hidden: int) -> Json:
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
