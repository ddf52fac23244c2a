"""The models that are timed, as data: how each is built, and which pieces are measured by default.

Time does not depend on the values of weights, so all but MiniLM have random ones, in the sizes of the published
checkpoints (counted in the tests). None has a language-model head: the page faults of its logits drown the effect.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoModel,
    BertConfig,
    BertModel,
    Gemma3TextConfig,
    Gemma3TextModel,
    GPT2Config,
    GPT2Model,
    PretrainedConfig,
    T5Config,
    T5EncoderModel,
)

from gelu_patch.demo.data import CHECKPOINT
from gelu_patch.errors import DataNotFound

from .rounds import Skip

SHAPES = {"infer": (8, 128), "train": (4, 128)}  # (batch, seq)
THREADS = (1, 2)
Config = Callable[..., PretrainedConfig]


@dataclass(frozen=True)
class Model:
    """``python_gelu``: stock computes its GELU from elementary tensor operations, not by ``F.gelu``."""

    title: str
    make: Callable[[PretrainedConfig], nn.Module] | None  # None: the real weights
    config: dict[str, Any]
    layers: int
    layers_field: str
    kind: type[PretrainedConfig] = PretrainedConfig
    tiny: dict[str, Any] = field(default_factory=dict)
    python_gelu: bool = False
    onnx: bool = False
    pieces: tuple[tuple[str, str], ...] = (("float32", "infer"), ("float32", "train"))

    def build(self, dtype: torch.dtype, layers: int | None = None, *, tiny: bool = False) -> nn.Module:
        """Return the model in eval mode, with ``layers`` of its layers. Raises Skip without the real weights."""
        wanted = {} if layers is None else {self.layers_field: min(layers, self.layers)}
        if self.make is None:
            try:
                found = AutoModel.from_pretrained(CHECKPOINT.locate().parent, add_pooling_layer=False, **wanted)
            except DataNotFound as error:
                raise Skip(f"{error}; {error.next_step}") from None
        else:
            settings = self.config | (self.tiny if tiny else {}) | wanted
            found = self.make(self.kind(**settings))
        return found.to(dtype).eval()


_EVERY = tuple((dtype, phase) for dtype in ("float32", "bfloat16") for phase in SHAPES)
_NO_CACHE = {"use_cache": False}

MODELS = {
    "gpt2": Model(
        "GPT-2 small", GPT2Model, _NO_CACHE, 12, "n_layer", GPT2Config,
        tiny={"n_layer": 2, "n_embd": 32, "n_head": 2, "vocab_size": 100, "n_positions": 64},
        python_gelu=True, pieces=_EVERY,
    ),
    "bert": Model(
        "BERT base", lambda config: BertModel(config, add_pooling_layer=False), {}, 12, "num_hidden_layers", BertConfig,
        tiny={"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64,
              "vocab_size": 100},
        onnx=True, pieces=_EVERY,
    ),
    "t5": Model(
        "T5-v1.1 small, encoder (gated)", T5EncoderModel,
        {"d_model": 512, "d_kv": 64, "d_ff": 1024, "num_heads": 6, "num_layers": 8, "vocab_size": 32128,
         "feed_forward_proj": "gated-gelu", **_NO_CACHE},
        8, "num_layers", T5Config,
        tiny={"num_layers": 2, "d_model": 32, "d_kv": 16, "d_ff": 64, "num_heads": 2, "vocab_size": 100},
        python_gelu=True, pieces=(("float32", "infer"), ("bfloat16", "infer"), ("float32", "train")),
    ),
    "minilm": Model(
        "MiniLM-L6, real weights", None, {}, 6, "num_hidden_layers",
        onnx=True, pieces=(("float32", "infer"), ("bfloat16", "infer"), ("float32", "train")),
    ),
    "gemma3": Model(
        "Gemma 3 270M sizes (gated)", Gemma3TextModel,
        {"hidden_size": 640, "intermediate_size": 2048, "num_hidden_layers": 18, "num_attention_heads": 4,
         "num_key_value_heads": 1, "head_dim": 256, "vocab_size": 262144, **_NO_CACHE},
        18, "num_hidden_layers", Gemma3TextConfig,
        tiny={"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
              "head_dim": 16, "vocab_size": 100},
        pieces=(("float32", "infer"), ("bfloat16", "infer")),
    ),
}  # fmt: skip


def piece_keys() -> list[str]:
    """Return ``model:dtype:phase:threads`` of every piece, in the order of measuring."""
    return [
        f"{name}:{dtype}:{phase}:{threads}"
        for name, model in MODELS.items()
        for dtype, phase in model.pieces
        for threads in THREADS
    ]
