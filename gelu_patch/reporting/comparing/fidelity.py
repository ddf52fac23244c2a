"""How far the candidate's outputs lie from the baseline's, beside what a change that means nothing does.

The numeric-noise arm is the baseline itself at another batch size and thread count: a candidate that moves no more
than that computes the same, whatever its flips look like.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt

from gelu_patch.errors import DataError
from gelu_patch.reporting.schema import Fidelity
from gelu_patch.reporting.series import histogram
from gelu_patch.reporting.storage.drift import Drift, Layers
from gelu_patch.reporting.storage.predictions import Predictions

FloatArray = npt.NDArray[np.float64]


def fidelity(
    before: Predictions,
    after: Predictions,
    *,
    noise: Predictions | None = None,
    drift_before: Drift | None = None,
    drift_after: Drift | None = None,
) -> Fidelity:
    """Return how far the outputs moved; ``noise`` is the baseline again, on some of the same units.

    ``kl_mean`` and ``kl_p99`` are of KL(baseline || candidate) per example, in nat; ``max_abs_dlogit`` is over all
    examples and classes; ``top1_agreement`` is per example, and per predicted token for language models. What the
    predictions do not hold stays None. Drift needs both arms' hidden states of the same examples.
    """
    found = _distance(before, after)
    if drift_before and drift_after and drift_before.ids == drift_after.ids:
        found.per_layer_rel_err = layer_errors(drift_before.own, drift_after.own)
    if noise is not None:
        found.noise = _distance(_same_units(before, noise), noise)
        if drift_before and drift_before.noise:
            found.noise.per_layer_rel_err = layer_errors(drift_before.own, drift_before.noise)
    return found


def divergence(before: Predictions, after: Predictions) -> FloatArray:
    """Return KL(baseline || candidate) of each example, in nat. Raises DataError without logits."""
    log_p, log_q = before.log_probabilities, after.log_probabilities
    # Rounding can leave a divergence of -1e-17, which is a zero.
    return np.asarray(np.maximum((np.exp(log_p) * (log_p - log_q)).sum(axis=1), 0))


def layer_errors(one: Layers, other: Layers) -> list[float]:
    """Return for each layer the mean over examples of |other - one| / |one| (Euclidean norms); [] if they differ."""
    if [each.shape for each in one] != [each.shape for each in other]:
        return []
    return [_relative_error(a.astype(np.float64), b.astype(np.float64)) for a, b in zip(one, other, strict=True)]


def _relative_error(one: FloatArray, other: FloatArray) -> float:
    moved, length = np.linalg.norm(other - one, axis=1), np.linalg.norm(one, axis=1)
    return float(np.divide(moved, length, out=np.zeros_like(moved), where=length > 0).mean())


def _distance(before: Predictions, after: Predictions) -> Fidelity:
    if before.logits is not None and after.logits is not None:
        kl = divergence(before, after)
        moved = np.abs(after.class_logits.astype(np.float64) - before.class_logits.astype(np.float64))
        return Fidelity(
            top1_agreement=float((before.pred == after.pred).mean()),
            kl_mean=float(kl.mean()),
            kl_p99=float(np.quantile(kl, 0.99)),
            max_abs_dlogit=float(moved.max()),
            dlogit_histogram=histogram(moved.max(axis=1)),
        )
    if not before.is_language_model:
        return Fidelity(top1_agreement=float((before.pred == after.pred).mean()))
    if before.token_pred is None or after.token_pred is None:
        return Fidelity()
    return Fidelity(
        top1_agreement=float((np.concatenate(before.token_pred) == np.concatenate(after.token_pred)).mean())
    )


def _same_units(predictions: Predictions, of: Predictions) -> Predictions:
    """Return the rows whose ids ``of`` has, in its order. Raises DataError when one is not there."""
    if predictions.ids == of.ids:
        return predictions
    place = {key: i for i, key in enumerate(predictions.ids)}
    strange = [key for key in of.ids if key not in place]
    if strange:
        raise DataError(f"the numeric-noise arm has an example that the run has not: {strange[0]!r}")
    rows = [place[key] for key in of.ids]
    columns = {field.name: getattr(predictions, field.name) for field in fields(predictions)}
    picked = {name: _rows(column, rows) for name, column in columns.items()}
    return Predictions(**picked)


def _rows(column: Any, rows: list[int]) -> Any:
    if isinstance(column, np.ndarray):
        return column[rows]
    return [column[i] for i in rows] if isinstance(column, list) else column
