"""``timings.parquet``: every single time of a measurement, from which each statistic can be computed again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gelu_patch.errors import DataError, DataNotFound
from gelu_patch.reporting.storage.files import write_with

TIMINGS = "timings.parquet"

# The names of the arms that are no targets of a patch.
STOCK = "stock"
CONTROL = "stock again"  # a second shell of the baseline: the A/A control
LIMIT = "no activation"  # nothing in the place of each GELU: what a swap could gain at most
COMPILED = " +compile"  # after the name of an arm

SCHEMA = pa.schema(
    [
        ("batch", pa.int32()),
        ("seq", pa.int32()),
        ("phase", pa.string()),
        ("arm", pa.string()),
        ("process", pa.int32()),
        ("pair", pa.int32()),
        ("seconds", pa.float64()),
    ]
)


@dataclass(frozen=True, order=True)
class Cell:
    """One thing that is timed: a phase at a shape ``(batch, seq)``."""

    shape: tuple[int, int]
    phase: str

    def __str__(self) -> str:
        return f"{self.phase} {'x'.join(map(str, self.shape))}"


# Seconds by arm; the lists of one process are equally long, and entry i of each belongs to pair i.
Samples = Mapping[str, Sequence[float]]
# The samples of each process, by cell.
Timings = Mapping[Cell, Sequence[Samples]]


def write_timings(path: Path, timings: Timings) -> Path:
    """Write one row per single time, atomically."""
    columns = list(zip(*_rows(timings), strict=True)) or [()] * len(SCHEMA)
    table = pa.table([pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)], SCHEMA)
    return write_with(path, lambda temporary: pq.write_table(table, temporary, compression="zstd"))


def _rows(timings: Timings) -> Iterator[tuple[object, ...]]:
    for cell, processes in timings.items():
        for process, samples in enumerate(processes):
            for arm, seconds in samples.items():
                for pair, value in enumerate(seconds):
                    yield *cell.shape, cell.phase, arm, process, pair, float(value)


def read_timings(path: Path) -> dict[Cell, list[dict[str, list[float]]]]:
    """Return what ``write_timings`` wrote. Raises DataNotFound without the file, DataError when it is damaged."""
    if not path.is_file():
        raise DataNotFound(f"there are no timings at {path}", next_step="gelu-patch bench ... --output_dir DIR")
    try:
        table = pq.read_table(path, schema=SCHEMA)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(
            f"cannot read {path}", why=str(error), next_step="the file is damaged: measure again"
        ) from error
    found: dict[Cell, dict[int, dict[str, list[float]]]] = {}
    for row in _sorted_rows(table):
        samples = found.setdefault(Cell((row["batch"], row["seq"]), row["phase"]), {}).setdefault(row["process"], {})
        samples.setdefault(row["arm"], []).append(row["seconds"])
    return {cell: list(processes.values()) for cell, processes in found.items()}


def _sorted_rows(table: pa.Table) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.to_pylist()
    return sorted(rows, key=lambda row: (row["process"], row["pair"]))
