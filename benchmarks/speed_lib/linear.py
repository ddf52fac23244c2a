"""The arms of one Linear with its GELU: the product alone, with each GELU, and fused by oneDNN and by us."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import BertConfig
from transformers.activations import ACT2FN
from transformers.models.bert.modeling_bert import BertIntermediate
from transformers.pytorch_utils import Conv1D

import gelu_patch as gp
from gelu_patch.errors import GeluPatchError
from gelu_patch.patching.shells import shell_of

from .names import MKL, MKL_AGAIN, MKL_F_GELU, MKL_GELU_NEW, ONEDNN, ONEDNN_FUSED, OURS, OURS_SPEED
from .rounds import Run, Skip

TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2}  # of the largest value


class GPT2Up(nn.Module):
    """The first half of GPT2MLP: ``Conv1D`` and ``gelu_new``."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.c_fc = Conv1D(outer, inner)
        self.act = ACT2FN["gelu_new"]

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Return ``(batch, seq, outer)`` for ``(batch, seq, inner)``."""
        hidden_states = self.c_fc(hidden_states)
        return self.act(hidden_states)


def bert_up(inner: int, outer: int) -> nn.Module:
    return BertIntermediate(BertConfig(hidden_size=inner, intermediate_size=outer))


@dataclass(frozen=True)
class Form:
    """A module with one product and one GELU. ``transposed``: it keeps its weight as (in, out), as Conv1D does."""

    title: str
    build: Callable[[int, int], nn.Module]
    approximate: str
    transposed: bool


FORMS = {
    "linear": Form("nn.Linear, erf (BertIntermediate)", bert_up, "none", transposed=False),
    "conv1d": Form("Conv1D, gelu_new (GPT2MLP)", GPT2Up, "tanh", transposed=True),
}
SIZES = (*((768, 3072, rows) for rows in (1, 16, 128, 512, 1024)), (384, 1536, 128), (384, 1536, 1024))
DTYPES = ("float32", "bfloat16")


def piece_keys() -> list[str]:
    """Return ``form:dtype:inner-outer:rows`` of every piece."""
    return [
        f"{form}:{dtype}:{inner}-{outer}:{rows}" for form in FORMS for dtype in DTYPES for inner, outer, rows in SIZES
    ]


def arms_of(form: Form, dtype: torch.dtype, inner: int, outer: int, rows: int) -> tuple[dict[str, Run], dict[str, str]]:
    """Return what runs once per call, on an input ``(1, rows, inner)``, and why other arms cannot.

    Raises Skip when an arm with the activation computes something else than the stock module.
    """
    stock = form.build(inner, outer).to(dtype).eval()
    weight, bias = (parameter.detach() for parameter in stock.parameters())
    nn.init.normal_(weight, std=inner**-0.5)
    nn.init.normal_(bias)
    x = torch.randn(1, rows, inner).to(dtype)
    by_rows = weight.t() if form.transposed else weight  # (out, in), a view: nothing is copied
    fused = torch.ops.mkldnn._linear_pointwise

    def mkl() -> torch.Tensor:
        if form.transposed:
            return torch.addmm(bias, x.view(rows, inner), weight).view(1, rows, outer)
        return F.linear(x, weight, bias)

    with_gelu: dict[str, Run] = {MKL_F_GELU: lambda: F.gelu(mkl(), approximate=form.approximate)}
    if form.approximate == "tanh":
        with_gelu[MKL_GELU_NEW] = lambda: stock(x)
    algorithm = "tanh" if form.approximate == "tanh" else "none"
    with_gelu[ONEDNN_FUSED] = lambda: fused(x, by_rows, bias, "gelu", [], algorithm)
    skipped: dict[str, str] = {}
    for name, memory in ((OURS, None), (OURS_SPEED, "speed")):
        try:
            with_gelu[name] = patched(stock, memory, x)
        except Skip as reason:
            skipped[name] = str(reason)
    expected = stock(x).float()
    for name, run in with_gelu.items():
        error = float((run().float() - expected).abs().max() / expected.abs().max())  # type: ignore[attr-defined]
        if not error <= TOLERANCE[dtype]:
            raise Skip(f"{name} differs from the stock module by {error:.1e} of the largest value")
    plain: dict[str, Run] = {MKL: mkl, MKL_AGAIN: mkl, ONEDNN: lambda: fused(x, by_rows, bias, "none", [], "")}
    return plain | with_gelu, skipped


def patched(stock: nn.Module, memory: str | None, x: torch.Tensor) -> Run:
    if memory is not None and "memory" not in inspect.signature(gp.patch_model).parameters:
        raise Skip("patch_model has no memory=")
    options: dict[str, Any] = {} if memory is None else {"memory": memory}
    module = shell_of(stock)
    try:
        gp.patch_model(module, "gelu_fused", **options)
    except GeluPatchError as error:
        raise Skip(str(error)) from None
    return lambda: module(x)
