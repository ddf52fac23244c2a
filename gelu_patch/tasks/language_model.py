"""What the tasks on documents share: which head is loaded, and a loss for every token that is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn

from gelu_patch.reporting.schema import Quality
from gelu_patch.reporting.storage.predictions import Predictions
from gelu_patch.tasks.answers import Answers
from gelu_patch.tasks.base import LoadedModel, Task
from gelu_patch.tasks.checkpoints import Access, load_language_model
from gelu_patch.tasks.data import TextExamples
from gelu_patch.tasks.documents import EncodedDocuments
from gelu_patch.tasks.labels import LabelMap
from gelu_patch.tasks.token_losses import document_predictions, document_quality, token_answers, token_loss


class LanguageModelling(Task):
    """A task of documents, which differ in what they ask: ``encode`` of a subclass says it."""

    labelled = False
    validation_metric = "nll"

    auto_class: ClassVar[str]
    """The class of Transformers that loads a model with the right head."""

    shift: ClassVar[int]
    """How many places before a token the model predicts it."""

    perplexity: ClassVar[str]
    """The name of exp(mean loss): a masked model has no perplexity in the strict sense."""

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

        Raises ModelNotFound, and UnsupportedModel when it has no such head.
        """
        access = Access(trust_remote_code, revision)
        return load_language_model(self.auto_class, name_or_path, access, seed, ignore_mismatched_sizes)

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Return the mean cross-entropy of the labelled tokens (natural log)."""
        return token_loss(model, batch, shift=self.shift)

    def answer(self, model: nn.Module, batch: dict[str, Tensor]) -> Answers:
        """Return the loss and the best guess at every labelled token of each window."""
        return token_answers(model, batch, shift=self.shift)

    def predictions(self, data: EncodedDocuments, answers: Answers, *, seed: int | None = None) -> Predictions:
        """Return one prediction per document: the mean loss over its labelled tokens."""
        return document_predictions(data, answers, seed=seed)

    def quality(self, predictions: Predictions, labels: LabelMap | None) -> list[Quality]:
        """Return the mean loss and the perplexity."""
        return document_quality(predictions, self.perplexity)
