"""Classify texts, or pairs of texts, with a head on top of an encoder or decoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from gelu_patch.errors import UnsupportedModel, UsageError
from gelu_patch.reporting.schema import Quality
from gelu_patch.reporting.storage.predictions import Predictions
from gelu_patch.tasks.answers import Answers
from gelu_patch.tasks.base import LoadedModel, Task, tasks
from gelu_patch.tasks.checkpoints import Access, build, load_parts, notes_on
from gelu_patch.tasks.data import TextExamples
from gelu_patch.tasks.encoding import EncodedExamples, encode_texts
from gelu_patch.tasks.inference import class_logits
from gelu_patch.tasks.labels import LabelMap
from gelu_patch.tasks.quality import measure_quality

AUTO_CLASS = "AutoModelForSequenceClassification"


class TextClassification(Task):
    """The task of models with a sequence classification head."""

    name = "text-classification"

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
        """Load a model, its tokenizer and its classes from a directory or a Hub id, in float32.

        With ``train``, the classes are those of the training examples; without, those of the checkpoint. A
        head that the checkpoint lacks is drawn from ``seed``, bit for bit the same at every call, and noted.

        Raises ModelNotFound, UnsupportedModel (the checkpoint needs ``trust_remote_code``, or is no text
        classifier) and UsageError (its head has another size, and not ``ignore_mismatched_sizes``).
        """
        access = Access(trust_remote_code, revision)
        checkpoint, config, tokenizer = load_parts(AUTO_CLASS, name_or_path, access)
        labels = _classes(config, train)
        if getattr(config, "pad_token_id", None) is None:
            config.pad_token_id = tokenizer.pad_token_id
        config.id2label, config.label2id = labels.id2label, labels.label2id
        model, new_weights = build(AUTO_CLASS, checkpoint, config, seed, access, ignore_mismatched_sizes)
        return LoadedModel(model, tokenizer, labels, notes_on(new_weights, seed, trained=train is not None))

    def encode(
        self,
        examples: TextExamples,
        *,
        labels: LabelMap | None = None,
        tokenizer: Any,
        max_length: int,
        stride: int | None = None,
        seed: int = 0,
    ) -> EncodedExamples:
        """Tokenise ``examples``, cut to ``max_length``, and number their labels.

        Raises DataError for a label outside ``labels``.
        """
        if stride is not None:
            raise UsageError("text-classification has no windows", next_step="remove --stride: long texts are cut")
        assert labels is not None  # LoadedModel has them for this task
        return encode_texts(examples, labels.encode(examples), tokenizer, max_length)

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Return the mean cross-entropy of a batch (natural log)."""
        logits = class_logits(model, batch)
        return F.cross_entropy(logits.float(), batch["labels"].to(logits.device))

    def answer(self, model: nn.Module, batch: dict[str, Tensor]) -> Answers:
        """Return the logits of each example, float32. Raises UnsupportedModel when the model gives none."""
        return {"logits": list(class_logits(model, batch).float().cpu().numpy())}

    def predictions(self, data: EncodedExamples, answers: Answers, *, seed: int | None = None) -> Predictions:
        """Return one prediction per example. Raises UnsupportedModel when a label is no class of the model."""
        logits = np.stack(answers["logits"])
        if int(data.labels.max(initial=0)) >= logits.shape[1]:
            raise UnsupportedModel(
                f"the model has {logits.shape[1]} classes and the data has more",
                why=f"a label has number {int(data.labels.max())}, and numbers start at 0",
                next_step="evaluate with the labels that this model was trained with",
            )
        return Predictions(
            ids=list(data.ids),
            label=data.labels,
            logits=logits,
            n_tokens=np.array(data.lengths, dtype=np.int64),
            seed=seed,
            group_id=None if data.groups is None else list(data.groups),
            text=list(data.texts),
        )

    def quality(self, predictions: Predictions, labels: LabelMap | None) -> list[Quality]:
        """Return every registered metric, and the mean loss of the labels."""
        return measure_quality(predictions, predictions.class_logits.shape[1])


def _classes(config: Any, train: TextExamples | None) -> LabelMap:
    own = LabelMap.from_config(config.id2label)
    if train is None:
        return own
    learnt = LabelMap.from_examples(train)
    # A checkpoint that already knows these classes keeps its own order, which its head was trained with.
    return LabelMap(own.names, train.name) if set(own.names) == set(learnt.names) else learnt


tasks.register(TextClassification())
