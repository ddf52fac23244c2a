"""What a task is: from a checkpoint and examples to a loss for training and predictions for statistics.

A new task is one file and one registration. Training knows nothing of tasks: it takes the
batches of ``encode`` and ``loss`` as arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from gelu_patch.registry import Registry
from gelu_patch.reporting.predictions import Predictions
from gelu_patch.tasks.data import TextExamples
from gelu_patch.tasks.encoding import EncodedExamples
from gelu_patch.tasks.labels import LabelMap

DEFAULT_TASK = "text-classification"


@dataclass(frozen=True)
class LoadedModel:
    """A model ready for a task: a ``PreTrainedModel``, which is untyped here as Transformers is.

    ``notes`` are sentences for the user, such as which weights are new.
    """

    model: Any
    tokenizer: Any
    labels: LabelMap
    notes: tuple[str, ...] = ()


class Task(Protocol):
    """A way of asking a question to a model."""

    @property
    def name(self) -> str:
        """The name under which it is registered."""

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

    def encode(self, examples: TextExamples, *, labels: LabelMap, tokenizer: Any, max_length: int) -> EncodedExamples:
        """Tokenise examples and number their labels."""

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Return the mean loss of one batch, a scalar with a gradient."""

    def predict(
        self,
        model: nn.Module,
        data: EncodedExamples,
        *,
        batch_size: int = 32,
        seed: int | None = None,
        on_batch: Callable[[int, int], None] | None = None,
    ) -> Predictions:
        """Return one prediction per example, in the order of the data, leaving the model as it was."""


tasks: Registry[Task] = Registry("task")
