"""Whole models: inference without a head for all tokens, and training steps, with peak and saved memory of each arm."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from speed_lib.names import (
    AGAIN,
    COMPILED,
    F_GELU,
    F_GELU_COMPILED,
    LIMIT,
    OURS,
    OURS_COMPILED,
    OURS_MAX,
    OURS_SPEED,
    STOCK,
)
from torch import nn
from transformers import (
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    T5Config,
    T5ForConditionalGeneration,
)

import gelu_patch as gp
from gelu_patch.patching.shells import shell_of
from gelu_patch.sites import find_sites
from gelu_patch.timing.memory import measure_saved

from .machine import Bench, Json, Run

OURS_MODES = {OURS: "balanced", OURS_SPEED: "speed", OURS_MAX: "max"}

_GPT2_MEDIUM = {"n_embd": 1024, "n_layer": 24, "n_head": 16}
_BERT_LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
_T5 = {"d_model": 768, "d_kv": 64, "d_ff": 2048, "num_layers": 12, "num_heads": 12}
_GATED = {"feed_forward_proj": "gated-gelu", "decoder_start_token_id": 0, "pad_token_id": 0}


@dataclass(frozen=True)
class Model:
    """Sizes of a published checkpoint, with random weights; ``batch`` and ``seq`` make 8,192 tokens."""

    kind: Callable[..., Any]
    config: Callable[..., Any]
    sizes: dict[str, Any]
    tiny: dict[str, Any]
    batch: int
    seq: int


_TINY_GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 64, "n_positions": 32}
_TINY_BERT = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "vocab_size": 64,
}  # fmt: skip
_TINY_T5 = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 1, "num_heads": 2, "vocab_size": 64}

MODELS = {
    "gpt2": Model(GPT2LMHeadModel, GPT2Config, {}, _TINY_GPT2, 8, 1024),
    "bert": Model(BertForMaskedLM, BertConfig, {}, _TINY_BERT, 16, 512),
    "gpt2-medium": Model(GPT2LMHeadModel, GPT2Config, _GPT2_MEDIUM, _TINY_GPT2, 8, 1024),
    "bert-large": Model(BertForMaskedLM, BertConfig, _BERT_LARGE, _TINY_BERT, 16, 512),
    "t5": Model(T5ForConditionalGeneration, T5Config, _T5 | _GATED, _TINY_T5, 16, 256),
}


def build(bench: Bench, name: str, dtype: torch.dtype) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    model = MODELS[name]
    torch.manual_seed(0)
    sizes = model.sizes | (model.tiny if bench.quick else {})
    built: nn.Module = model.kind(model.config(use_cache=False, **sizes)).to(bench.device, dtype)
    shape = (bench.size(model.batch, 2), bench.size(model.seq, 8))
    ids = torch.randint(0, 64, shape, device=bench.device)
    return built, {"input_ids": ids, "labels": ids}


def swapped(model: nn.Module, replacement: Callable[[str], nn.Module]) -> nn.Module:
    """A shell with ``replacement(activation)`` where each GELU is."""
    shell = shell_of(model)
    for site in find_sites(shell):
        if site.is_gelu:
            for owner in site.owners:
                owner.put(replacement(str(site.activation)))
    return shell


def arms_of(model: nn.Module, modes: dict[str, str]) -> dict[str, nn.Module]:
    arms = {
        STOCK: shell_of(model),
        AGAIN: shell_of(model),
        F_GELU: swapped(model, lambda name: nn.GELU("tanh" if name == "gelu_tanh" else "none")),
    }
    for name, memory in modes.items():
        arms[name] = shell_of(model)
        gp.patch_model(arms[name], "gelu_fused", memory=memory)  # type: ignore[arg-type]
    arms[LIMIT] = swapped(model, lambda _: nn.Identity())
    return arms


def inference(bench: Bench, name: str) -> Json:
    """One forward in bfloat16; decoders with logits for the last token only."""
    model, options = _for_inference(bench, name)
    arms = arms_of(model, {OURS: OURS_MODES[OURS]})
    return _measured(bench, {arm: _forward(shell, options) for arm, shell in arms.items()}, {})


def _for_inference(bench: Bench, name: str) -> tuple[nn.Module, dict[str, Any]]:
    model, inputs = build(bench, name, torch.bfloat16)
    options: dict[str, Any] = {"input_ids": inputs["input_ids"]}
    if isinstance(model, GPT2LMHeadModel):
        options["logits_to_keep"] = 1
    if isinstance(model, T5ForConditionalGeneration):
        options["decoder_input_ids"] = inputs["labels"][:, :1]
    return model.eval(), options


def _forward(arm: Any, options: dict[str, Any]) -> Run:
    def run() -> object:
        with torch.no_grad():
            return arm(**options)

    return run


def training(bench: Bench, name: str, precision: str) -> Json:
    """One step (forward with loss, backward, AdamW): under autocast with float32 weights, or all in bfloat16."""
    model, inputs, step_of = _for_training(bench, name, precision)
    arms = arms_of(model, OURS_MODES)
    kept = {}
    for arm, shell in arms.items():
        with torch.autocast(bench.device, torch.bfloat16, enabled=precision == "autocast"):
            kept[arm] = _kept(shell, inputs)
    return _measured(bench, {arm: step_of(shell) for arm, shell in arms.items()}, {"kept bytes": kept})


def _for_training(
    bench: Bench, name: str, precision: str
) -> tuple[nn.Module, dict[str, torch.Tensor], Callable[[Any], Run]]:
    """The model, its inputs, and what makes a step of a shell of the model."""
    model, inputs = build(bench, name, torch.float32 if precision == "autocast" else torch.bfloat16)
    model.train()
    # One optimizer for all arms, which share their parameters; without a learning rate, they stay as they are.
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, weight_decay=0.0, fused=bench.device == "cuda")

    def step_of(arm: Any) -> Run:
        def step() -> None:
            with torch.autocast(bench.device, torch.bfloat16, enabled=precision == "autocast"):
                loss = arm(**inputs).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        return step

    return model, inputs, step_of


def _kept(arm: nn.Module, inputs: dict[str, torch.Tensor]) -> int | None:
    """Bytes kept for backward by the layers, without the logits; of an encoder-decoder with them."""
    shape: Any = tuple(inputs["input_ids"].shape)
    if isinstance(arm, T5ForConditionalGeneration):
        return measure_saved(arm, inputs, shape).saved_for_backward_bytes
    body: nn.Module = getattr(arm, arm.base_model_prefix)  # type: ignore[arg-type]
    return measure_saved(body, {"input_ids": inputs["input_ids"]}, shape).saved_for_backward_bytes


def compiled_inference(bench: Bench, name: str) -> Json:
    """What ``inference`` runs, by torch.compile."""
    model, options = _for_inference(bench, name)
    return _compiled(bench, model, lambda arm: _forward(arm, options))


def compiled_training(bench: Bench, name: str) -> Json:
    """What ``training`` runs under autocast, by torch.compile; the optimizer is as it was."""
    model, _, step_of = _for_training(bench, name, "autocast")
    return _compiled(bench, model, step_of)


def _compiled(bench: Bench, model: nn.Module, run_of: Callable[[Any], Run]) -> Json:
    """Stock, F.gelu and ours by torch.compile, beside stock and ours as they are."""
    shells = arms_of(model, {OURS: OURS_MODES[OURS]})
    runs = {arm: run_of(shells[arm]) for arm in (STOCK, OURS)}
    notes: Json = {"seconds to compile": {}}
    skipped = {}
    torch._dynamo.reset()
    for source, arm in ((STOCK, COMPILED), (OURS, OURS_COMPILED), (F_GELU, F_GELU_COMPILED)):
        begun = time.monotonic()
        try:
            run = run_of(torch.compile(shells[source], backend="eager" if bench.quick else "inductor"))
            run()
        except Exception as error:  # whatever a compiler raises: the other arms go on
            skipped[arm] = f"torch.compile failed: {str(error).splitlines()[0]}"
            continue
        bench.synchronize()
        notes["seconds to compile"][arm] = round(time.monotonic() - begun, 1)
        runs[arm] = run
    return _measured(bench, runs, notes) | {"skipped": skipped}


def _measured(bench: Bench, runs: dict[str, Run], notes: Json) -> Json:
    notes["peak bytes"] = {name: bench.peak(run) for name, run in runs.items()}
    return {"samples": bench.sample(runs, seconds=0.05), "notes": notes}
