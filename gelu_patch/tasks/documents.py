"""Documents as windows of token ids, exact about which token is predicted where.

A document stays one unit however long it is. Every one of its tokens that is to be predicted is predicted in exactly
one window, and a window is as long as the model allows, so that what it predicts has as much context as there is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gelu_patch.errors import DataError, UsageError
from gelu_patch.tasks.data import TextExamples

IGNORED = -100  # a label that no loss counts, in PyTorch and Transformers


class Window(NamedTuple):
    """Tokens ``[begin, end)`` of a document, of which ``[first, end)`` are predicted here and nowhere else."""

    begin: int
    first: int
    end: int


def windows(n: int, *, limit: int, stride: int, first: int = 0) -> Iterator[Window]:
    """Cover the tokens ``first`` to ``n`` of a document by windows of at most ``limit`` tokens.

    The first window predicts all that it holds, each later one the next ``stride`` tokens with ``limit - stride`` or
    more tokens of context before them.
    """
    end = min(n, limit)
    yield Window(0, first, end)
    while end < n:
        first, end = end, min(end + stride, n)
        yield Window(max(0, end - limit), first, end)


class Item(NamedTuple):
    """One window as the model gets it; ``labels`` holds a token at its own place, or ``IGNORED``."""

    document: int
    input_ids: list[int]
    labels: list[int]


@dataclass(frozen=True)
class EncodedDocuments:
    """Windows of documents, in the order of the documents; ``ids``, ``texts`` and ``groups`` are per document."""

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    groups: tuple[str, ...] | None
    items: tuple[Item, ...]
    pad_token_id: int

    def __len__(self) -> int:
        return len(self.items)

    @property
    def features(self) -> dict[str, list[list[int]]]:
        """The token ids of each window."""
        return {"input_ids": [item.input_ids for item in self.items]}

    @cached_property
    def lengths(self) -> list[int]:
        """Number of tokens of each window."""
        return [len(item.input_ids) for item in self.items]

    @property
    def questions_sha256(self) -> str:
        """Hash of all windows and of what is predicted in each."""
        hasher = sha256()
        for item in self.items:
            hasher.update(np.array([item.document, len(item.labels), *item.input_ids, *item.labels]).tobytes())
        return hasher.hexdigest()

    @property
    def owners(self) -> list[int]:
        """The document of each window."""
        return [item.document for item in self.items]

    def some(self, examples: Sequence[int]) -> EncodedDocuments:
        """Return these documents only, which must be in ascending order."""
        number = {old: new for new, old in enumerate(examples)}
        return replace(
            self,
            ids=tuple(self.ids[i] for i in examples),
            texts=tuple(self.texts[i] for i in examples),
            groups=None if self.groups is None else tuple(self.groups[i] for i in examples),
            items=tuple(
                item._replace(document=number[item.document]) for item in self.items if item.document in number
            ),
        )

    def batch(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Return these windows padded on the right to the longest of them: tensors ``(batch, seq)``.

        On the right whatever side the tokenizer prefers: then the position of a token is its place in the window,
        in every model. ``labels`` are ``IGNORED`` at padding and wherever nothing is predicted.
        """
        items = [self.items[i] for i in indices]
        longest = max(len(item.input_ids) for item in items)

        def padded(rows: list[list[int]], filler: int) -> Tensor:
            return torch.tensor([row + [filler] * (longest - len(row)) for row in rows])

        return {
            "input_ids": padded([item.input_ids for item in items], self.pad_token_id),
            "attention_mask": padded([[1] * len(item.input_ids) for item in items], 0),
            "labels": padded([item.labels for item in items], IGNORED),
        }

    def by_document(self, rows: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """Join one row per window into one row per document."""
        parts: list[list[npt.NDArray[Any]]] = [[] for _ in self.ids]
        for item, row in zip(self.items, rows, strict=True):
            parts[item.document].append(row)
        return [np.concatenate(each) for each in parts]


class Tokens(NamedTuple):
    """A document as the tokenizer gives it: its ``body`` between the special tokens that it puts around a text."""

    prefix: list[int]
    body: list[int]
    suffix: list[int]


def tokenise(examples: TextExamples, tokenizer: Any) -> list[Tokens]:
    """Tokenise documents whole: the tokenizer's own special tokens and nothing else. Raises DataError for pairs."""
    if examples.text_pairs is not None:
        raise DataError(
            f"{examples.name} holds pairs of texts",
            why="a language model reads documents, one text each",
            next_step="name one column: --text_column NAME",
        )
    encoded = tokenizer(list(examples.texts), return_special_tokens_mask=True, verbose=False)
    return [_split(*row) for row in zip(encoded["input_ids"], encoded["special_tokens_mask"], strict=True)]


def packed(examples: TextExamples, tokenizer: Any, size: int) -> EncodedDocuments:
    """Join all documents, an end-of-text token after each, and cut them into blocks of ``size`` tokens.

    As the Hugging Face examples do: what is left after the last whole block is not used. Raises DataError when there is
    no whole block.
    """
    end = [] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)]
    ids: list[int] = []
    for tokens in tokenise(examples, tokenizer):
        document = tokens.prefix + tokens.body + tokens.suffix
        ids += document if document[-1:] == end else document + end
    blocks = [ids[begin : begin + size] for begin in range(0, len(ids) - size + 1, size)]
    if not blocks:
        raise DataError(
            f"{examples.name} is shorter than one block",
            why=f"it has {len(ids)} tokens in all, and a block has {size}",
            next_step=f"--block_size {max(2, len(ids) // 8)}, or give more text",
        )
    names = tuple(f"block-{number}" for number in range(len(blocks)))
    items = tuple(Item(number, block, block) for number, block in enumerate(blocks))
    return EncodedDocuments(names, ("",) * len(blocks), None, items, tokenizer.pad_token_id or 0)


def _split(ids: list[int], special: list[int]) -> Tokens:
    inside = [place for place, is_special in enumerate(special) if not is_special]
    begin, end = (inside[0], inside[-1] + 1) if inside else (len(ids), len(ids))
    return Tokens(ids[:begin], ids[begin:end], ids[end:])


def limit_of(max_length: int, tokenizer: Any, *, room_for: int) -> int:
    """Return the largest window, ``max_length`` or the tokenizer's limit. Raises UsageError when it is too small."""
    limit = min(max_length, int(tokenizer.model_max_length))
    if limit < room_for:
        raise UsageError(
            f"max_length {limit} leaves no room for text",
            why=f"at least {room_for} tokens",
            next_step="--max_length 512",
        )
    return limit


def stride_of(stride: int | None, *, default: int, largest: int) -> int:
    """Return how many tokens a window moves on. Raises UsageError when tokens would be left out."""
    if stride is None:
        return default
    if not 1 <= stride <= largest:
        raise UsageError(
            f"a stride of {stride} does not fit",
            why=f"with these windows it is from 1 to {largest}: every token is predicted once, from tokens before it",
            next_step=f"--stride {default}",
        )
    return stride


def refuse_empty(examples: TextExamples, counts: Sequence[int], why: str) -> None:
    """Raise DataError when a document has no token to predict."""
    empty = [number for number, count in enumerate(counts) if count < 1]
    if empty:
        raise DataError(
            f"{examples.name} has {len(empty)} documents without a token to predict",
            where=f"first: {examples.ids[empty[0]]!r}, document {empty[0] + 1} of {len(counts)}",
            why=why,
            next_step="remove these documents, or join them with others",
        )
