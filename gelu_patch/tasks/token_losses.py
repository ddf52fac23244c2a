"""Losses of single tokens: what causal and masked language models have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from gelu_patch.errors import UnsupportedModel
from gelu_patch.reporting.schema import Quality
from gelu_patch.reporting.storage.predictions import Predictions
from gelu_patch.stats.bootstrap import percentile_mean
from gelu_patch.stats.ratio import percentile_ratio
from gelu_patch.tasks.answers import Answers
from gelu_patch.tasks.documents import IGNORED, EncodedDocuments
from gelu_patch.tasks.inference import run_model


def token_logits(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Run one batch and return its logits ``(batch, seq, vocabulary)``. Raises UnsupportedModel without them."""
    logits = getattr(run_model(model, batch), "logits", None)
    expected = tuple(batch["labels"].shape)
    if not isinstance(logits, Tensor) or logits.ndim != 3 or tuple(logits.shape[:2]) != expected:
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise UnsupportedModel(
            f"{type(model).__name__} does not predict tokens",
            why=f"its output should have .logits of shape {(*expected, 'vocabulary')}; found {found}",
            next_step="give a language model",
        )
    return logits


def token_loss(model: nn.Module, batch: dict[str, Tensor], *, shift: int) -> Tensor:
    """Return the mean cross-entropy over the labelled tokens (natural log), predicted ``shift`` places before."""
    logits, labels = _aligned(token_logits(model, batch), batch["labels"], shift)
    return F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED)


def token_answers(model: nn.Module, batch: dict[str, Tensor], *, shift: int) -> Answers:
    """Return for each window the loss and the best guess at every labelled token, in its order."""
    logits, labels = _aligned(token_logits(model, batch), batch["labels"], shift)
    answers: Answers = {"token_nll": [], "token_pred": []}
    for row, wanted in zip(logits, labels, strict=True):  # one at a time: vocabularies are large
        asked = wanted != IGNORED
        scores = row[asked].float()
        answers["token_nll"].append(F.cross_entropy(scores, wanted[asked], reduction="none").cpu().numpy())
        answers["token_pred"].append(scores.argmax(dim=1).cpu().numpy().astype(np.int64))
    return answers


def _aligned(logits: Tensor, labels: Tensor, shift: int) -> tuple[Tensor, Tensor]:
    labels = labels.to(logits.device)
    return logits[:, : logits.shape[1] - shift], labels[:, shift:]


def document_predictions(data: EncodedDocuments, answers: Answers, *, seed: int | None) -> Predictions:
    """Join the answers to all windows into one prediction per document."""
    token_nll = data.by_document(answers["token_nll"])
    return Predictions(
        ids=list(data.ids),
        n_tokens=np.array([len(each) for each in token_nll], dtype=np.int64),
        seed=seed,
        group_id=None if data.groups is None else list(data.groups),
        losses=np.array([each.astype(np.float64).mean() for each in token_nll]),
        text=list(data.texts),
        token_pred=data.by_document(answers["token_pred"]),
        token_nll=token_nll,
    )


def document_quality(predictions: Predictions, perplexity: str) -> list[Quality]:
    """Return the mean loss per document, and the perplexity per token over all documents, with 95 % intervals.

    The document is the unit of both intervals: tokens of one document are not independent.
    """
    losses, n_tokens, n = predictions.nll, _counts(predictions), len(predictions)
    totals = losses * n_tokens
    low, high = percentile_ratio(totals, n_tokens)
    return [
        Quality(
            metric="nll",
            higher_is_better=False,
            value=float(losses.mean()),
            ci=percentile_mean(losses),
            ci_method="percentile bootstrap of documents",
            n=n,
        ),
        Quality(
            metric=perplexity,
            higher_is_better=False,
            value=float(np.exp(totals.sum() / n_tokens.sum())),
            ci=(float(np.exp(low)), float(np.exp(high))),
            ci_method="percentile bootstrap of documents",
            n=n,
        ),
    ]


def _counts(predictions: Predictions) -> Any:
    assert predictions.n_tokens is not None  # Predictions checks it
    return predictions.n_tokens.astype(np.float64)
