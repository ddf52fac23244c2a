"""Which class is which number: settled once, from the training file or the model, and checked everywhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gelu_patch.errors import DataError
from gelu_patch.reporting.storage.predictions import IntArray
from gelu_patch.tasks.data import TextExamples, name_some

WHOLE_NUMBER = re.compile(r"-?\d+")
PLACEHOLDER = re.compile(r"LABEL_\d+")
CLASSES_SHOWN = 10


@dataclass(frozen=True)
class LabelMap:
    """The class names in the order of the logits. ``source`` says who settled it, for errors."""

    names: tuple[str, ...]
    source: str

    @classmethod
    def from_examples(cls, examples: TextExamples) -> LabelMap:
        """Build the map of a training set: numeric order when all labels are whole numbers, else sorted text.

        Raises DataError when there is one class only, or when the labels are fractions (a regression target).
        """
        names = set(examples.known_labels)
        if len(names) < 2:
            raise DataError(
                f"{examples.name} holds one class only",
                why=f"every label is {next(iter(names))!r}, so there is nothing to learn",
                next_step="give a training file with two classes or more, or name another --label_column",
            )
        if all(map(_is_number, names)) and not all(map(WHOLE_NUMBER.fullmatch, names)):
            raise DataError(
                f"the labels of {examples.name} are fractions",
                why="text classification needs classes; regression is not supported",
                next_step="name another --label_column, or turn the values into classes",
            )
        whole = all(map(WHOLE_NUMBER.fullmatch, names))
        return cls(tuple(sorted(names, key=int) if whole else sorted(names)), examples.name)

    @classmethod
    def from_config(cls, id2label: Mapping[int, str], source: str = "the model") -> LabelMap:
        """Build the map that a checkpoint carries in ``config.id2label``."""
        return cls(tuple(str(id2label[number]) for number in sorted(id2label)), source)

    @property
    def id2label(self) -> dict[int, str]:
        """The map as ``config.id2label`` wants it."""
        return dict(enumerate(self.names))

    @property
    def label2id(self) -> dict[str, int]:
        """The map as ``config.label2id`` wants it."""
        return {name: number for number, name in enumerate(self.names)}

    @property
    def is_placeholder(self) -> bool:
        """Whether the names are Transformers' ``LABEL_0``, ``LABEL_1``, which say nothing."""
        return all(map(PLACEHOLDER.fullmatch, self.names))

    def encode(self, examples: TextExamples) -> IntArray:
        """Return the class numbers ``(n,)`` of the examples.

        A label is a class name; a whole number that is no name is a class number, so that files with 0 and 1
        fit a model whose classes are called NEGATIVE and POSITIVE. A file may lack classes; raises DataError
        when it has one that the map lacks.
        """
        known = {str(number): number for number in range(len(self.names))} if self._by_number else {}
        known.update(self.label2id)
        extra = sorted(set(examples.known_labels) - known.keys())
        if extra:
            rows = [row for row, label in enumerate(examples.known_labels, start=1) if label not in known]
            raise DataError(
                f"{examples.name} has labels that {self.source} does not: {_listed(extra)}",
                where=f"{name_some(rows)} (the first row is 1); {len(rows)} of {len(examples)} rows",
                why=f"{self.source} knows {_listed(self.names)}",
                next_step="rename the labels in the file"
                + (", or use class numbers (0, 1, ...)" if self.is_placeholder else ", or remove these rows"),
            )
        return np.array([known[label] for label in examples.known_labels], dtype=np.int64)

    @property
    def _by_number(self) -> bool:
        # Names that are numbers themselves leave no room for a second meaning of a number.
        return not any(map(_is_number, self.names))

    def __len__(self) -> int:
        return len(self.names)


def _listed(names: tuple[str, ...] | list[str]) -> str:
    dots = ", ..." if len(names) > CLASSES_SHOWN else ""
    return ", ".join(map(repr, names[:CLASSES_SHOWN])) + dots


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
