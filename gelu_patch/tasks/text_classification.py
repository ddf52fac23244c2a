"""Classify texts, or pairs of texts, with a head on top of an encoder or decoder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gelu_patch.errors import UnsupportedModel
from gelu_patch.patching import apply_sidecar, load_sidecar, stock_config, variant_of
from gelu_patch.reporting.predictions import Predictions
from gelu_patch.tasks.base import LoadedModel, tasks
from gelu_patch.tasks.data import TextExamples
from gelu_patch.tasks.encoding import EncodedExamples, encode_texts
from gelu_patch.tasks.inference import class_logits, predict_logits
from gelu_patch.tasks.labels import LabelMap
from gelu_patch.tasks.loading import (
    explained,
    load_config,
    load_tokenizer,
    quiet_transformers,
    resolve_checkpoint,
)


class TextClassification:
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
        checkpoint = resolve_checkpoint(name_or_path)
        access: dict[str, Any] = {"trust_remote_code": trust_remote_code, "revision": revision}
        config = load_config(checkpoint, **access)
        _check_kind(checkpoint, config)
        labels = _classes(config, train)
        tokenizer = load_tokenizer(checkpoint, **access)
        positions = getattr(config, "max_position_embeddings", None) or tokenizer.model_max_length
        tokenizer.model_max_length = min(tokenizer.model_max_length, positions)
        if getattr(config, "pad_token_id", None) is None:
            config.pad_token_id = tokenizer.pad_token_id
        config.id2label, config.label2id = labels.id2label, labels.label2id
        model, new_weights = _build(checkpoint, config, seed, access, ignore_mismatched_sizes)
        notes = []
        if new_weights:
            advice = "" if train is not None else "; without training its answers mean nothing"
            notes.append(f"not in the checkpoint, drawn from seed {seed}: {', '.join(new_weights)}{advice}")
        return LoadedModel(model, tokenizer, labels, tuple(notes))

    def encode(self, examples: TextExamples, *, labels: LabelMap, tokenizer: Any, max_length: int) -> EncodedExamples:
        """Tokenise ``examples`` and number their labels. Raises DataError for a label outside ``labels``."""
        return encode_texts(examples, labels.encode(examples), tokenizer, max_length)

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Return the mean cross-entropy of a batch (natural log)."""
        logits = class_logits(model, batch)
        return F.cross_entropy(logits.float(), batch["labels"].to(logits.device))

    def predict(
        self,
        model: nn.Module,
        data: EncodedExamples,
        *,
        batch_size: int = 32,
        seed: int | None = None,
        on_batch: Callable[[int, int], None] | None = None,
    ) -> Predictions:
        """Return the predictions for ``data``, in its order; ``seed`` says which training run made the model.

        ``on_batch`` is called with (examples done, examples in all). Raises UnsupportedModel when the model
        is no classifier of these classes.
        """
        logits = predict_logits(model, data, batch_size=batch_size, on_batch=on_batch)
        if int(data.labels.max(initial=0)) >= logits.shape[1]:
            raise UnsupportedModel(
                f"{type(model).__name__} has {logits.shape[1]} classes and the data has more",
                why=f"a label has number {int(data.labels.max())}, and numbers start at 0",
                next_step="evaluate with the labels that this model was trained with",
            )
        n_tokens = np.array(data.lengths, dtype=np.int64)
        return Predictions(ids=list(data.ids), label=data.labels, logits=logits, n_tokens=n_tokens, seed=seed)


def _check_kind(checkpoint: str, config: Any) -> None:
    """Raise UnsupportedModel for an image or speech model, before its missing tokenizer is blamed."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES as KINDS

    remote = getattr(config, "auto_map", None) or {}
    if config.model_type not in KINDS and "AutoModelForSequenceClassification" not in remote:
        raise UnsupportedModel(
            f"{checkpoint} cannot classify texts",
            why=f"it is a {config.model_type} model, for which Transformers has no sequence classification head",
            next_step="give a text model; gelu-patch inspect and gelu_patch.patch_model take any model",
        )


def _classes(config: Any, train: TextExamples | None) -> LabelMap:
    own = LabelMap.from_config(config.id2label)
    if train is None:
        return own
    learnt = LabelMap.from_examples(train)
    # A checkpoint that already knows these classes keeps its own order, which its head was trained with.
    return LabelMap(own.names, train.name) if set(own.names) == set(learnt.names) else learnt


def _build(
    checkpoint: str, config: Any, seed: int, access: dict[str, Any], ignore_mismatched_sizes: bool
) -> tuple[nn.Module, list[str]]:
    """Return the model, patched as it was saved, and the names of the weights that the checkpoint did not hold."""
    from transformers import AutoModelForSequenceClassification

    sidecar = load_sidecar(checkpoint, revision=access["revision"])
    if sidecar is not None:
        config = stock_config(config, sidecar)
    with explained(checkpoint), quiet_transformers(), torch.random.fork_rng(devices=[]):
        # Right before the head is drawn, so that nothing in between can make two arms differ.
        torch.manual_seed(seed)
        model, loading = AutoModelForSequenceClassification.from_pretrained(
            checkpoint,
            config=config,
            dtype=torch.float32,
            ignore_mismatched_sizes=ignore_mismatched_sizes,
            output_loading_info=True,
            variant=variant_of(sidecar.hidden) if sidecar else None,
            **access,
        )
    if sidecar is not None:
        apply_sidecar(model, sidecar)
    mismatched = (entry[0] if isinstance(entry, tuple) else entry for entry in loading["mismatched_keys"])
    return model, sorted({*loading["missing_keys"], *mismatched})


tasks.register(TextClassification())
