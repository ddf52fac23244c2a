"""Tokenised examples and their batches, for evaluation and for training alike."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor

from gelu_patch.errors import UsageError
from gelu_patch.reporting.storage.predictions import IntArray
from gelu_patch.tasks.data import TextExamples

# Tokenizers without a limit of their own report a huge number.
NO_LIMIT = 1_000_000


@dataclass(frozen=True)
class EncodedExamples:
    """Examples as token ids, unpadded, in the order of the data.

    ``features`` maps ``input_ids``, ``attention_mask``, ... to one list of numbers per example;
    ``labels`` is ``(n,)`` int64; ``texts`` are clipped, for people to read.
    """

    ids: tuple[str, ...]
    features: dict[str, list[list[int]]]
    labels: IntArray
    tokenizer: Any
    texts: tuple[str, ...] = ()
    groups: tuple[str, ...] | None = None

    # What is asked is said by the texts and the labels.
    questions_sha256 = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> list[int]:
        """Number of tokens of each example."""
        return [len(tokens) for tokens in self.features["input_ids"]]

    @property
    def owners(self) -> Sequence[int]:
        """The example of each item: every example is one."""
        return range(len(self.ids))

    def some(self, examples: Sequence[int]) -> EncodedExamples:
        """Return these examples only."""
        return replace(
            self,
            ids=tuple(self.ids[i] for i in examples),
            features={name: [rows[i] for i in examples] for name, rows in self.features.items()},
            labels=self.labels[list(examples)],
            texts=tuple(self.texts[i] for i in examples),
            groups=None if self.groups is None else tuple(self.groups[i] for i in examples),
        )

    def batch(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Return the examples ``indices``, padded to the longest of them: tensors ``(batch, seq)``.

        ``labels`` ``(batch,)`` int64 is among them.
        """
        rows = {name: [values[i] for i in indices] for name, values in self.features.items()}
        padded = self.tokenizer.pad(rows, padding=True, return_tensors="pt")
        return {**padded, "labels": torch.from_numpy(self.labels[list(indices)])}


def encode_texts(examples: TextExamples, labels: IntArray, tokenizer: Any, max_length: int) -> EncodedExamples:
    """Tokenise ``examples``, cut to ``max_length`` tokens or to the tokenizer's own limit if that is less.

    Raises UsageError when ``max_length`` leaves no room for text.
    """
    limit = min(max_length, tokenizer.model_max_length)
    pairs = examples.text_pairs is not None
    special = tokenizer.num_special_tokens_to_add(pair=pairs)
    if limit <= special + pairs:
        raise UsageError(
            f"max_length {max_length} leaves no room for text",
            why=f"this tokenizer adds {special} special tokens",
            next_step="--max_length 128",
        )
    encoded = tokenizer(
        list(examples.texts),
        None if examples.text_pairs is None else list(examples.text_pairs),
        truncation=True,
        max_length=limit,
    )
    return EncodedExamples(examples.ids, dict(encoded), labels, tokenizer, examples.shown, examples.groups)


def tokenizer_sha256(tokenizer: Any) -> str:
    """Hash what a tokenizer does to text: vocabulary, normalisation, special tokens, sides.

    Truncation and padding settings are left out: they change with every call and are in the protocol.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    state: dict[str, Any] = {"vocabulary": tokenizer.get_vocab()} if backend is None else json.loads(backend.to_str())
    for setting in ("truncation", "padding"):
        state.pop(setting, None)
    limit = tokenizer.model_max_length
    state["special_tokens_map"] = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    state["sides"] = (tokenizer.padding_side, tokenizer.truncation_side)
    state["limit"] = limit if limit < NO_LIMIT else None
    return sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()
