"""Predictions of one arm, unit by unit: what every paired statistic starts from.

The format is owned here, by its torch-free reader, so that ``compare`` needs no model and no torch. How it
lies on disk is in ``prediction_table``.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax

from gelu_patch.errors import DataError, DataNotFound, InvalidMeasurement
from gelu_patch.reporting.storage.files import write_with
from gelu_patch.reporting.storage.prediction_table import read_fields, to_table, write_table

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


def digest(parts: Sequence[object]) -> str:
    """Return a sha256 over the ordered parts, each made text and ended by a byte that no text contains."""
    hasher = hashlib.sha256()
    for part in parts:
        hasher.update(str(part).encode("utf-8") + b"\xff")
    return hasher.hexdigest()


@dataclass(frozen=True)
class Predictions:
    """One row per unit, in the order of the data: an example, or a document for language models.

    A classifier has ``label`` ``(n,)`` and ``logits`` ``(n, classes)`` float32, or, where only the answer is
    known, ``choice`` ``(n,)``. A language model has ``losses`` ``(n,)`` float64: the mean negative
    log-likelihood per predicted token (natural log), and where they were kept ``token_pred`` and
    ``token_nll``, one array of ``n_tokens[i]`` numbers per document.

    ``n_tokens`` ``(n,)`` counts the predicted tokens of a language model and the input tokens of a classifier.
    ``group_id`` names what units belong together (a document of several questions). ``text`` is clipped, for
    people to read. ``seed`` says which training run made the model.

    Raises DataError when there are no units, an id occurs twice or the columns do not fit together.
    """

    ids: list[str]
    label: IntArray | None = None
    logits: npt.NDArray[np.float32] | None = None
    n_tokens: IntArray | None = None
    seed: int | None = None
    group_id: list[str] | None = None
    choice: IntArray | None = None
    losses: FloatArray | None = None
    text: list[str] | None = None
    token_pred: list[IntArray] | None = None
    token_nll: list[npt.NDArray[np.float32]] | None = None

    def __post_init__(self) -> None:
        if not self.ids:
            raise DataError("there are no predictions", next_step="evaluate on data with at least one example")
        if len(set(self.ids)) != len(self.ids):
            twice = next(key for key, count in Counter(self.ids).items() if count > 1)
            raise DataError(f"example id {twice!r} occurs twice", next_step="give every example its own id")
        for name in ("label", "logits", "n_tokens", "group_id", "choice", "losses", "text", "token_pred", "token_nll"):
            column = getattr(self, name)
            if column is not None and len(column) != len(self.ids):
                raise DataError(f"there are {len(self.ids)} predictions and {len(column)} values of {name}")
        if (self.logits is not None) + (self.choice is not None) + (self.losses is not None) != 1:
            raise DataError("predictions have exactly one of logits, choice (a class) and losses (a language model's)")
        if self.losses is None and self.label is None:
            raise DataError("predictions of classes need labels", next_step="give every example its label")
        _check_logits(self.label, self.logits)
        _check_tokens(self)

    @property
    def is_language_model(self) -> bool:
        """Whether the units are documents with a loss per token, and not examples with a class."""
        return self.losses is not None

    @property
    def n_classes(self) -> int | None:
        """The number of classes, where there are logits."""
        return None if self.logits is None else self.logits.shape[1]

    @property
    def pred(self) -> IntArray:
        """The predicted class of each example. Raises DataError for a language model."""
        chosen = self.choice if self.logits is None else self.logits.argmax(axis=1)
        return np.asarray(self._needed("class", chosen), dtype=np.int64)

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
        """Whether each prediction is right. Raises DataError for a language model."""
        return np.asarray(self.pred == self.class_labels)

    @property
    def class_labels(self) -> IntArray:
        """The label of each example. Raises DataError for a language model."""
        return np.asarray(self._needed("label", self.label))

    @property
    def class_logits(self) -> npt.NDArray[np.float32]:
        """The logits ``(n, classes)``. Raises DataError where there are none."""
        return np.asarray(self._needed("logits", self.logits))

    @property
    def log_probabilities(self) -> FloatArray:
        """Log-softmax of the logits in float64, shape ``(n, classes)``. Raises DataError without logits."""
        return np.asarray(log_softmax(self.class_logits.astype(np.float64), axis=1))

    @property
    def has_nll(self) -> bool:
        """Whether there is a loss for every unit."""
        return self.losses is not None or self.logits is not None

    @property
    def nll(self) -> FloatArray:
        """Negative log-likelihood, natural log: of the label, or the mean per predicted token of a document.

        Raises DataError when only the answers are known.
        """
        if self.losses is not None:
            return self.losses
        return np.asarray(-self.log_probabilities[np.arange(len(self.ids)), self.class_labels])

    @property
    def margin(self) -> FloatArray:
        """Best logit minus second best. Raises DataError without logits."""
        best = np.sort(self.class_logits.astype(np.float64), axis=1)
        return np.asarray(best[:, -1] - best[:, -2])

    @property
    def ids_sha256(self) -> str:
        """Hash of the ordered ids."""
        return digest(self.ids)

    def same_outputs(self, other: Predictions) -> bool:
        """Tell whether two arms answered with the same bits."""
        names = ("logits", "choice", "losses")
        pairs = [(getattr(self, name), getattr(other, name)) for name in names]
        return all((a is None) == (b is None) and (a is None or np.array_equal(a, b)) for a, b in pairs)

    def require_finite(self, whose: str = "the model") -> None:
        """Raise InvalidMeasurement when an output is NaN or infinite: no metric means anything then."""
        outputs = self.losses if self.logits is None else self.logits
        if outputs is None:
            return
        broken = np.flatnonzero(~np.isfinite(outputs).reshape(len(self), -1).all(axis=1))
        if broken.size:
            raise InvalidMeasurement(
                f"{whose} answers with NaN or infinity for {broken.size} of {len(self)} examples",
                where=f"first at example {self.ids[broken[0]]!r}",
                why="training diverged, the dtype overflows, or a kernel is wrong",
                next_step="evaluate the unpatched model on the same data to tell which",
            )

    def __len__(self) -> int:
        return len(self.ids)

    def save(self, path: Path) -> Path:
        """Write ``predictions.parquet`` atomically; the same predictions always give the same bytes.

        Raises InvalidMeasurement when an output is NaN or infinite.
        """
        self.require_finite()
        return write_with(path, lambda temporary: write_table(to_table(self), temporary))

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read ``predictions.parquet``.

        Raises DataNotFound when it is absent, DataError when it is damaged or empty or has an id twice, and
        InvalidMeasurement when an output is NaN or infinite.
        """
        if not path.is_file():
            raise DataNotFound(
                f"there are no predictions at {path}",
                next_step=f"gelu-patch eval {path.parent} --test_file test.csv",
            )
        try:
            predictions = cls(**read_fields(path))
        except DataError as error:
            raise DataError(
                f"cannot read {path}", why=error.what, next_step="evaluate this run again: the file is damaged"
            ) from error
        predictions.require_finite(f"the model of {path}")
        return predictions

    def _needed(self, what: str, column: Any) -> Any:
        if column is None:
            kind = "of a language model" if self.is_language_model else "without logits"
            raise DataError(f"predictions {kind} have no {what}")
        return column


def _check_logits(label: IntArray | None, logits: npt.NDArray[np.float32] | None) -> None:
    if logits is None:
        return
    if logits.ndim != 2 or logits.shape[1] < 2:
        found = logits.shape[1] if logits.ndim == 2 else 1
        raise DataError(f"there are logits of {found} class, a comparison needs two")
    if label is None or label.min() < 0 or label.max() >= logits.shape[1]:
        raise DataError(f"a label is missing, or is none of the classes 0 to {logits.shape[1] - 1}")


def _check_tokens(predictions: Predictions) -> None:
    if predictions.losses is None:
        return
    counts = predictions.n_tokens
    if counts is None or counts.min() < 1:
        raise DataError("a document has no predicted token, so its loss means nothing")
    for name in ("token_pred", "token_nll"):
        tokens = getattr(predictions, name)
        if tokens is not None and [len(each) for each in tokens] != counts.tolist():
            raise DataError(f"{name} does not hold n_tokens values for every document")
