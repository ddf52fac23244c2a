"""Predict hidden tokens of a document from those around them: BERT and its like."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from gelu_patch.errors import UnsupportedModel
from gelu_patch.reporting.predictions import Predictions
from gelu_patch.reporting.schema import Quality
from gelu_patch.tasks.answers import Answers
from gelu_patch.tasks.base import LoadedModel, Task, tasks
from gelu_patch.tasks.checkpoints import Access, load_language_model
from gelu_patch.tasks.data import TextExamples
from gelu_patch.tasks.documents import (
    IGNORED,
    EncodedDocuments,
    Item,
    Tokens,
    limit_of,
    refuse_empty,
    stride_of,
    tokenise,
    windows,
)
from gelu_patch.tasks.labels import LabelMap
from gelu_patch.tasks.token_losses import document_predictions, document_quality, token_answers, token_loss

# Devlin et al., BERT, section 3.1. All of them become the mask token here: a measurement hides what it asks for.
MASKED_SHARE = 0.15


class MaskedLanguageModelling(Task):
    """The task of encoders.

    Which tokens are hidden is decided by the id of the document and the seed alone, so two arms answer the same
    questions whatever else is in their files. At least one token of a document is hidden, never a special one.
    """

    name = "masked-lm"
    labelled = False
    validation_metric = "nll"
    default_max_length = 512

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
        """Load a model with its masked language modelling head, and its tokenizer, in float32.

        Raises ModelNotFound, and UnsupportedModel when it is no encoder.
        """
        access = Access(trust_remote_code, revision)
        return load_language_model("AutoModelForMaskedLM", name_or_path, access, seed, ignore_mismatched_sizes)

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
        """Tokenise documents, cut them into windows of ``max_length`` tokens and hide 15 % of the tokens.

        ``stride`` is how many tokens a window after the first answers for, by default all that fit. Windows in which
        nothing is hidden are not run. Raises DataError for a document of special tokens only.
        """
        if tokenizer.mask_token_id is None:
            raise UnsupportedModel(
                "this tokenizer has no mask token", why="nothing can be hidden", next_step="use --task causal-lm"
            )
        documents = tokenise(examples, tokenizer)
        refuse_empty(examples, [len(tokens.body) for tokens in documents], "they hold special tokens only")
        special = max(len(tokens.prefix) + len(tokens.suffix) for tokens in documents)
        limit = limit_of(max_length, tokenizer, room_for=special + 1) - special
        stride = stride_of(stride, default=limit, largest=limit)
        items = [
            _item(number, tokens, window, hidden, tokenizer.mask_token_id)
            for number, tokens in enumerate(documents)
            for hidden in [hidden_places(examples.ids[number], len(tokens.body), seed)]
            for window in windows(len(tokens.body), limit=limit, stride=stride)
            if any(window.first <= place < window.end for place in hidden)
        ]
        return EncodedDocuments(
            examples.ids, examples.shown, examples.groups, tuple(items), tokenizer.pad_token_id or 0
        )

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Return the mean cross-entropy of the hidden tokens (natural log)."""
        return token_loss(model, batch, shift=0)

    def answer(self, model: nn.Module, batch: dict[str, Tensor]) -> Answers:
        """Return the loss and the best guess at every hidden token of each window."""
        return token_answers(model, batch, shift=0)

    def predictions(self, data: EncodedDocuments, answers: Answers, *, seed: int | None = None) -> Predictions:
        """Return one prediction per document: the mean loss over its hidden tokens."""
        return document_predictions(data, answers, seed=seed)

    def quality(self, predictions: Predictions, labels: LabelMap | None) -> list[Quality]:
        """Return the mean loss and the pseudo-perplexity."""
        return document_quality(predictions, "pseudo_perplexity")


def hidden_places(key: str, n: int, seed: int) -> set[int]:
    """Return which of the ``n`` tokens of document ``key`` are hidden: 15 %, at least one."""
    # Seeded by text, Python's generator gives the same places in every process and version.
    return set(random.Random(f"{seed}:{key}").sample(range(n), max(1, round(MASKED_SHARE * n))))


def _item(document: int, tokens: Tokens, window: Any, hidden: set[int], mask: int) -> Item:
    begin, first, end = window
    asked = [first <= place and place in hidden for place in range(begin, end)]
    body = tokens.body[begin:end]
    before, after = len(tokens.prefix), len(tokens.suffix)
    shown = [mask if is_asked else token for token, is_asked in zip(body, asked, strict=True)]
    labels = [token if is_asked else IGNORED for token, is_asked in zip(body, asked, strict=True)]
    return Item(document, tokens.prefix + shown + tokens.suffix, [IGNORED] * before + labels + [IGNORED] * after)


tasks.register(MaskedLanguageModelling())
