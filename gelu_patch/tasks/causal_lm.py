"""Predict every token of a document from those before it: GPT-2 and its like."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gelu_patch.errors import UnsupportedModel
from gelu_patch.tasks.base import Encoded, tasks
from gelu_patch.tasks.data import TextExamples
from gelu_patch.tasks.documents import (
    IGNORED,
    EncodedDocuments,
    Item,
    limit_of,
    packed,
    refuse_empty,
    stride_of,
    tokenise,
    windows,
)
from gelu_patch.tasks.inference import evaluation_mode
from gelu_patch.tasks.labels import LabelMap
from gelu_patch.tasks.language_model import LanguageModelling
from gelu_patch.tasks.token_losses import (
    token_logits,
)

PROBE_LENGTH = 4


class CausalLanguageModelling(LanguageModelling):
    """The task of decoders.

    A document is tokenised as the Hugging Face example scripts do, with the special tokens of its tokenizer and no
    others: where it puts a beginning-of-text token, that is context. The first token of a document has nothing before
    it and is not predicted; every other token is, once.
    """

    name = "causal-lm"
    default_max_length = 1024
    auto_class = "AutoModelForCausalLM"
    shift = 1
    perplexity = "perplexity"

    def encode(
        self,
        examples: TextExamples,
        *,
        labels: LabelMap | None = None,
        tokenizer: Any,
        max_length: int,
        stride: int | None = None,
        seed: int = 0,
    ) -> EncodedDocuments:
        """Tokenise documents and cut them into windows of ``max_length`` tokens.

        ``stride`` is how many tokens a window after the first predicts, by default half of ``max_length``; the others
        are context. Raises DataError for a document of one token.
        """
        limit = limit_of(max_length, tokenizer, room_for=2)
        stride = stride_of(stride, default=max(1, limit // 2), largest=limit - 1)
        documents = [tokens.prefix + tokens.body + tokens.suffix for tokens in tokenise(examples, tokenizer)]
        refuse_empty(examples, [len(ids) - 1 for ids in documents], "the first token has nothing before it")
        items = [
            Item(number, ids[begin:end], [IGNORED] * (first - begin) + ids[first:end])
            for number, ids in enumerate(documents)
            for begin, first, end in windows(len(ids), limit=limit, stride=stride, first=1)
        ]
        return EncodedDocuments(
            examples.ids, examples.shown, examples.groups, tuple(items), tokenizer.pad_token_id or 0
        )

    def encode_for_training(
        self, examples: TextExamples, *, labels: LabelMap | None = None, tokenizer: Any, max_length: int, seed: int = 0
    ) -> EncodedDocuments:
        """Pack the documents into blocks of ``max_length`` tokens; see ``packed``."""
        return packed(examples, tokenizer, limit_of(max_length, tokenizer, room_for=2))

    def check(self, model: nn.Module, data: Encoded) -> None:
        """Raise UnsupportedModel also when the model looks ahead: it would be asked for what it sees."""
        super().check(model, data)
        size = getattr(model.get_input_embeddings(), "num_embeddings", 0)  # type: ignore[operator]
        first = torch.zeros(1, PROBE_LENGTH, dtype=torch.int64)
        second = first.clone()
        second[0, -1] = size - 1
        with evaluation_mode(model):
            one, other = (token_logits(model, _probe(ids))[0, :-1].float() for ids in (first, second))
        if not torch.allclose(one, other, rtol=1e-3, atol=1e-3, equal_nan=True):
            raise UnsupportedModel(
                f"{type(model).__name__} sees the tokens that it should predict",
                why="another last token changes what it says about the tokens before",
                next_step="give a decoder, or use --task masked-lm",
            )


def _probe(ids: Tensor) -> dict[str, Tensor]:
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}


tasks.register(CausalLanguageModelling())
