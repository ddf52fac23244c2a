"""What a task is: from a checkpoint and examples to a loss for training and predictions for statistics.

A new task is one file and one registration. Training knows nothing of tasks: it takes the
batches of ``encode`` and ``loss`` as arguments.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from gelu_patch.registry import Registry
from gelu_patch.reporting.schema import Quality
from gelu_patch.reporting.storage.predictions import Predictions
from gelu_patch.tasks.answers import Answers, AnswerSheet
from gelu_patch.tasks.data import TextExamples
from gelu_patch.tasks.inference import answered_batches, check_fits, length_sorted_batches
from gelu_patch.tasks.labels import LabelMap

DEFAULT_TASK = "text-classification"


@dataclass(frozen=True)
class LoadedModel:
    """A model ready for a task: a ``PreTrainedModel``, which is untyped here as Transformers is.

    ``labels`` are its classes, None for a language model. ``notes`` are sentences for the user, such as which
    weights are new.
    """

    model: Any
    tokenizer: Any
    labels: LabelMap | None
    notes: tuple[str, ...] = ()


class Encoded(Protocol):
    """Token ids of what a model is run on: an example, or a window of a document."""

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the examples, which may be fewer than the items."""

    @property
    def features(self) -> dict[str, list[list[int]]]:
        """``input_ids`` and the like: one list of numbers per item, unpadded."""

    @property
    def lengths(self) -> list[int]:
        """Number of tokens of each item."""

    @property
    def questions_sha256(self) -> str | None:
        """Hash of what is asked, where the texts and labels do not say it all."""

    @property
    def owners(self) -> Sequence[int]:
        """The number of the example that each item belongs to, ascending."""

    def some(self, examples: Sequence[int]) -> Encoded:
        """Return these examples only, in ascending order."""

    def batch(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Return these items padded, ``(batch, seq)``, with their ``labels``."""

    def __len__(self) -> int: ...


class Task(ABC):
    """A way of asking a question to a model. ``labelled`` says whether its examples have labels.

    ``validation_metric`` is what training looks at after every epoch; where lower is better, its negative is.
    """

    name: str
    labelled: bool = True
    default_max_length: int = 128
    validation_metric: str = "accuracy"

    @abstractmethod
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
        """Load a checkpoint; with ``train``, for fine-tuning on it. New weights are drawn from ``seed``."""

    @abstractmethod
    def encode(
        self,
        examples: TextExamples,
        *,
        labels: LabelMap | None = None,
        tokenizer: Any,
        max_length: int,
        stride: int | None = None,
        seed: int = 0,
    ) -> Any:
        """Return the examples as ``Encoded`` items.

        ``stride`` is for tasks that cut documents into windows, ``seed`` for those that hide tokens.
        """

    def encode_for_training(
        self, examples: TextExamples, *, labels: LabelMap | None = None, tokenizer: Any, max_length: int, seed: int = 0
    ) -> Any:
        """Return what training runs on; the same as ``encode``, unless the task has a better way."""
        return self.encode(examples, labels=labels, tokenizer=tokenizer, max_length=max_length, seed=seed)

    @abstractmethod
    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Return the mean loss of one batch, a scalar with a gradient."""

    @abstractmethod
    def answer(self, model: nn.Module, batch: dict[str, Tensor]) -> Answers:
        """Run one batch and return what is kept of each of its items, by name."""

    @abstractmethod
    def predictions(self, data: Any, answers: Answers, *, seed: int | None = None) -> Predictions:
        """Turn the answers to all items of ``data``, in their order, into one prediction per example."""

    @abstractmethod
    def quality(self, predictions: Predictions, labels: LabelMap | None) -> list[Quality]:
        """Return what one arm's predictions are worth, each number with its interval."""

    def check(self, model: nn.Module, data: Encoded) -> None:
        """Raise UnsupportedModel when ``model`` cannot be asked this, UsageError when an item is too long for it."""
        check_fits(model, data)

    def predict(
        self,
        model: nn.Module,
        data: Any,
        *,
        batch_size: int = 32,
        seed: int | None = None,
        on_batch: Callable[[int, int], None] | None = None,
    ) -> Predictions:
        """Return one prediction per example, in the order of the data, leaving the model as it was.

        ``seed`` says which training run made the model. ``on_batch`` is called with (items done, items in all).
        """
        self.check(model, data)
        sheet = AnswerSheet(len(data))
        layout = length_sorted_batches(data.lengths, batch_size)
        for indices, answers in answered_batches(self.answer, model, data, layout):
            sheet.put(indices, answers)
            if on_batch is not None:
                on_batch(sheet.done, len(data))
        return self.predictions(data, sheet.complete(), seed=seed)


tasks: Registry[Task] = Registry("task")
