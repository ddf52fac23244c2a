"""How predictions lie on disk: the columns of ``predictions.parquet``.

The first ten columns are always there, null where they mean nothing; the others where they were kept.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from gelu_patch.errors import DataError

if TYPE_CHECKING:
    from gelu_patch.reporting.storage.predictions import Predictions

CORE = ("id", "group_id", "label", "pred", "correct", "nll", "margin", "logits", "n_tokens", "seed")
KEPT_SOMETIMES = ("text", "token_pred", "token_nll")


def to_table(predictions: Predictions) -> pa.Table:
    """Return the columns of ``predictions.parquet``."""
    n, given = len(predictions), predictions
    classes = not given.is_language_model
    columns = {
        "id": pa.array(given.ids, pa.string()),
        "group_id": _or_nulls(given.group_id, n, pa.string()),
        "label": _or_nulls(given.label, n, pa.int64()),
        "pred": _or_nulls(given.pred if classes else None, n, pa.int64()),
        "correct": _or_nulls(given.correct if classes else None, n, pa.bool_()),
        "nll": _or_nulls(given.nll if given.has_nll else None, n, pa.float64()),
        "margin": _or_nulls(None if given.logits is None else given.margin, n, pa.float64()),
        "logits": _lists(None if given.logits is None else list(given.logits), n, pa.float32()),
        "n_tokens": _or_nulls(given.n_tokens, n, pa.int64()),
        "seed": pa.array([given.seed] * n, pa.int64()),
    }
    if given.text is not None:
        columns["text"] = pa.array(given.text, pa.string())
    if given.token_pred is not None:
        columns["token_pred"] = _lists(given.token_pred, n, pa.int32())
    if given.token_nll is not None:
        columns["token_nll"] = _lists(given.token_nll, n, pa.float32())
    return pa.table(columns)


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table in one row group: equal tables give equal bytes, however they were put together."""
    pq.write_table(table.combine_chunks(), path, row_group_size=max(len(table), 1))


def read_fields(path: Path) -> dict[str, Any]:
    """Return the arguments of ``Predictions`` from a file. Raises DataError when they cannot be read."""
    try:
        available = pq.read_schema(path).names
        missing = [name for name in CORE if name not in available]
        if missing:
            raise DataError(f"there is no column {missing[0]!r}")
        table = pq.read_table(path, columns=[*CORE, *(name for name in KEPT_SOMETIMES if name in available)])
        if not len(table):
            raise DataError("it holds no examples")
        return _fields(table.combine_chunks())
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise DataError(str(error)) from error


def _fields(table: pa.Table) -> dict[str, Any]:
    if table["id"].null_count:
        raise DataError("an example has no id")
    logits = _read_matrix(table, "logits")
    label = _read_numbers(table, "label")
    language_model = logits is None and label is None
    seeds = set(table["seed"].to_pylist())
    return {
        "ids": table["id"].to_pylist(),
        "label": label,
        "logits": logits,
        "n_tokens": _read_numbers(table, "n_tokens"),
        "seed": seeds.pop() if len(seeds) == 1 else None,
        "group_id": _read_text(table, "group_id"),
        "choice": None if logits is not None or language_model else _read_numbers(table, "pred"),
        "losses": _read_numbers(table, "nll", "f") if language_model else None,
        "text": _read_text(table, "text"),
        "token_pred": _read_lists(table, "token_pred", np.int64),
        "token_nll": _read_lists(table, "token_nll"),
    }


def _or_nulls(values: Any, n: int, kind: pa.DataType) -> pa.Array:
    return pa.nulls(n, kind) if values is None else pa.array(values, kind)


def _lists(values: list[Any] | None, n: int, kind: pa.DataType) -> pa.Array:
    if values is None:
        return pa.nulls(n, pa.list_(kind))
    ends = np.cumsum([0, *map(len, values)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), pa.array(np.concatenate(values), kind))


def _column(table: pa.Table, name: str) -> pa.Array | None:
    """Return a column, or None where it says nothing. Raises DataError when it is there for some rows only."""
    if name not in table.column_names or table[name].null_count == len(table):
        return None
    if table[name].null_count:
        raise DataError(f"{name} is missing for {table[name].null_count} of {len(table)} examples")
    return table[name].chunk(0)


def _read_text(table: pa.Table, name: str) -> list[str] | None:
    column = _column(table, name)
    return None if column is None else column.to_pylist()


def _read_numbers(table: pa.Table, name: str, kind: str = "i") -> npt.NDArray[Any] | None:
    column = _column(table, name)
    if column is None:
        return None
    values = column.to_numpy(zero_copy_only=False)
    if values.dtype.kind != kind:
        raise DataError(f"{name} holds {values.dtype} values" + (", none of the classes" if name == "label" else ""))
    return np.asarray(values)


def _read_matrix(table: pa.Table, name: str) -> npt.NDArray[np.float32] | None:
    """Return lists of equal length as one array: a hundred thousand small ones would take seconds."""
    column = _column(table, name)
    if column is None:
        return None
    if not pa.types.is_list(column.type):
        raise DataError(f"{name} holds {column.type} and no lists")
    lengths = np.asarray(column.value_lengths())
    if lengths.min() != lengths.max():
        raise DataError(f"the {name} of all examples must have the same shape")
    values = column.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(values, dtype=np.float32).reshape(len(column), -1)


def _read_lists(table: pa.Table, name: str, dtype: Any = np.float32) -> list[npt.NDArray[Any]] | None:
    column = _column(table, name)
    if column is None:
        return None
    if not pa.types.is_list(column.type):
        raise DataError(f"{name} holds {column.type} and no lists")
    values = column.flatten().to_numpy(zero_copy_only=False).astype(dtype)
    ends = np.asarray(column.value_lengths()).cumsum()[:-1]
    return np.split(values, ends)
