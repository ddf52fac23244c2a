"""Predict every token of a document from those before it: GPT-2 and its like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gelu_patch.errors import UnsupportedModel
from gelu_patch.reporting.predictions import Predictions
from gelu_patch.reporting.schema import Quality
from gelu_patch.tasks.answers import Answers
from gelu_patch.tasks.base import Encoded, LoadedModel, Task, tasks
from gelu_patch.tasks.checkpoints import Access, load_language_model
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
from gelu_patch.tasks.token_losses import (
    document_predictions,
    document_quality,
    token_answers,
    token_logits,
    token_loss,
)

PROBE_LENGTH = 4


class CausalLanguageModelling(Task):
    """The task of decoders.

    A document is tokenised as the Hugging Face example scripts do, with the special tokens of its tokenizer and no
    others: where it puts a beginning-of-text token, that is context. The first token of a document has nothing before
    it and is not predicted; every other token is, once.
    """

    name = "causal-lm"
    labelled = False
    validation_metric = "nll"
    default_max_length = 1024

    def load(
        self,
        name_or_path: str | Path,
        *,
        train: TextExamples | None = None,
        seed: int = 0,
        trust_remote_code: bool = False,
        revision: str | None = None,
        ignore_mismatched_sizes: bool = False,
    ) -> LoadedModel:
        """Load a model with its language modelling head, and its tokenizer, in float32.

        Raises ModelNotFound, and UnsupportedModel when it is no decoder.
        """
        access = Access(trust_remote_code, revision)
        return load_language_model("AutoModelForCausalLM", name_or_path, access, seed, ignore_mismatched_sizes)

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

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Return the mean cross-entropy of the labelled tokens (natural log)."""
        return token_loss(model, batch, shift=1)

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

    def answer(self, model: nn.Module, batch: dict[str, Tensor]) -> Answers:
        """Return the loss and the best guess at every predicted token of each window."""
        return token_answers(model, batch, shift=1)

    def predictions(self, data: EncodedDocuments, answers: Answers, *, seed: int | None = None) -> Predictions:
        """Return one prediction per document: the mean loss over its predicted tokens."""
        return document_predictions(data, answers, seed=seed)

    def quality(self, predictions: Predictions, labels: LabelMap | None) -> list[Quality]:
        """Return the mean loss and the perplexity."""
        return document_quality(predictions, "perplexity")


def _probe(ids: Tensor) -> dict[str, Tensor]:
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}


tasks.register(CausalLanguageModelling())
