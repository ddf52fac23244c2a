"""Predict hidden tokens of a document from those around them: BERT and its like."""

from __future__ import annotations

import random
from typing import Any

from gelu_patch.errors import UnsupportedModel
from gelu_patch.tasks.base import tasks
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
from gelu_patch.tasks.language_model import LanguageModelling

# Devlin et al., BERT, section 3.1. All of them become the mask token here: a measurement hides what it asks for.
MASKED_SHARE = 0.15


class MaskedLanguageModelling(LanguageModelling):
    """The task of encoders.

    Which tokens are hidden is decided by the id of the document and the seed alone, so two arms answer the same
    questions whatever else is in their files. At least one token of a document is hidden, never a special one.
    """

    name = "masked-lm"
    default_max_length = 512
    auto_class = "AutoModelForMaskedLM"
    shift = 0
    perplexity = "pseudo_perplexity"

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
