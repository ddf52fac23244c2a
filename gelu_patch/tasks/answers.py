"""What a model answered, item by item, while the rest is still being asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gelu_patch.errors import InvalidMeasurement

# By name, one row of numbers for each item: the logits of an example, the losses of a window's tokens.
Answers = dict[str, list[npt.NDArray[Any]]]


class AnswerSheet:
    """Answers of ``n`` items, put in as they come."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.answered = np.zeros(n, np.bool_)
        self._columns: dict[str, list[npt.NDArray[Any] | None]] = {}

    def put(self, indices: Sequence[int], answers: Answers) -> None:
        """Add the answers to the items ``indices``. Raises InvalidMeasurement when one is answered already."""
        twice = [index for index in indices if self.answered[index]]
        if twice:
            raise InvalidMeasurement(f"item {twice[0]} was answered twice", next_step="evaluate again from the start")
        for name, rows in answers.items():
            column = self._columns.setdefault(name, [None] * self.n)
            for index, row in zip(indices, rows, strict=True):
                column[index] = row
        self.answered[list(indices)] = True

    @property
    def done(self) -> int:
        """How many items are answered."""
        return int(self.answered.sum())

    def of(self, items: Iterable[int]) -> Answers:
        """Return the answers to ``items``, in their order; all of them must be there."""
        chosen = list(items)
        columns = {name: [rows[item] for item in chosen] for name, rows in self._columns.items()}
        return {name: [row for row in rows if row is not None] for name, rows in columns.items()}

    def complete(self) -> Answers:
        """Return all answers in the order of the items. Raises InvalidMeasurement when one is missing."""
        missing = np.flatnonzero(~self.answered)
        if missing.size:
            raise InvalidMeasurement(
                f"{missing.size} of {self.n} items were never answered",
                where=f"first: item {missing[0]}",
                why="answers were lost on the way from the model to the predictions",
                next_step="evaluate again; with several processes, all must see the same --output_dir",
            )
        return self.of(range(self.n))
