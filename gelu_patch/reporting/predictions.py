"""Per-example predictions of one arm: what every paired statistic starts from.

The format is owned here, by its torch-free reader, so that ``compare`` needs no model and no torch.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.special import log_softmax

from gelu_patch.errors import DataError, DataNotFound
from gelu_patch.reporting.files import write_with

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
    """One row per example, in the order of the data.

    Shapes: ``ids`` ``(n,)`` text; ``label``, ``pred``, ``n_tokens`` ``(n,)`` int64; ``logits``
    ``(n, classes)`` float32; ``nll`` (natural log) and ``margin`` (best logit minus second best) ``(n,)``.
    """

    ids: list[str]
    label: IntArray
    logits: npt.NDArray[np.float32]
    n_tokens: IntArray
    seed: int | None = None

    def __post_init__(self) -> None:
        if len(set(self.ids)) != len(self.ids):
            twice = next(key for key, count in Counter(self.ids).items() if count > 1)
            raise DataError(f"example id {twice!r} occurs twice", next_step="give every example its own id")

    @property
    def pred(self) -> IntArray:
        """The predicted class of each example."""
        return np.asarray(self.logits.argmax(axis=1), dtype=np.int64)

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
        """Whether each prediction is right."""
        return np.asarray(self.pred == self.label)

    @property
    def log_probabilities(self) -> FloatArray:
        """Log-softmax of the logits in float64, shape ``(n, classes)``."""
        return np.asarray(log_softmax(self.logits.astype(np.float64), axis=1))

    @property
    def nll(self) -> FloatArray:
        """Negative log-likelihood of the label, natural log."""
        return np.asarray(-self.log_probabilities[np.arange(len(self.ids)), self.label])

    @property
    def margin(self) -> FloatArray:
        """Best logit minus second best."""
        best = np.sort(self.logits.astype(np.float64), axis=1)
        return np.asarray(best[:, -1] - best[:, -2])

    @property
    def ids_sha256(self) -> str:
        """Hash of the ordered ids."""
        return digest(self.ids)

    def __len__(self) -> int:
        return len(self.ids)

    def save(self, path: Path) -> Path:
        """Write ``predictions.parquet`` atomically."""
        columns = {
            "id": pa.array(self.ids, pa.string()),
            "group_id": pa.nulls(len(self), pa.string()),
            "label": pa.array(self.label, pa.int64()),
            "pred": pa.array(self.pred, pa.int64()),
            "correct": pa.array(self.correct),
            "nll": pa.array(self.nll, pa.float64()),
            "margin": pa.array(self.margin, pa.float64()),
            "logits": pa.array(list(self.logits), pa.list_(pa.float32())),
            "n_tokens": pa.array(self.n_tokens, pa.int64()),
            "seed": pa.array([self.seed] * len(self), pa.int64()),
        }
        return write_with(path, lambda temporary: pq.write_table(pa.table(columns), temporary))

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read ``predictions.parquet``. Raises DataNotFound when it is absent, DataError when damaged."""
        if not path.is_file():
            raise DataNotFound(
                f"there are no predictions at {path}",
                next_step=f"gelu-patch eval {path.parent} --test_file test.csv",
            )
        try:
            table = pq.read_table(path, columns=["id", "label", "logits", "n_tokens", "seed"])
            logits = np.stack(table["logits"].to_numpy()).astype(np.float32)
            _require_complete(table, n_classes=logits.shape[1])
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            raise DataError(
                f"cannot read {path}", why=str(error), next_step="evaluate this run again: the file is damaged"
            ) from error
        seeds = set(table["seed"].to_pylist())
        return cls(
            ids=table["id"].to_pylist(),
            label=table["label"].to_numpy(),
            logits=logits,
            n_tokens=table["n_tokens"].to_numpy(),
            seed=seeds.pop() if len(seeds) == 1 else None,
        )


def _require_complete(table: pa.Table, *, n_classes: int) -> None:
    """Raise ValueError unless every example has an id and a label among at least two classes."""
    if table["id"].null_count:
        raise ValueError("an example has no id")
    if n_classes < 2:
        raise ValueError(f"there are logits of {n_classes} class, a comparison needs two")
    label = table["label"].to_numpy()
    if label.dtype.kind != "i" or label.min() < 0 or label.max() >= n_classes:
        raise ValueError(f"a label is missing, or is none of the classes 0 to {n_classes - 1}")
