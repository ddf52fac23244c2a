"""Answers on disk while an evaluation is under way, so that whatever stops it costs seconds of work.

A shard holds whole batches. Which batches there are follows from the data and the batch size alone, so a rerun, also
one of another number of processes, goes on with the batches that are missing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gelu_patch.reporting.storage.files import make_directory, writable, write_with
from gelu_patch.tasks.answers import Answers

SECONDS_BETWEEN_SHARDS = 5.0

_KEY = b"gelu_patch.key"
Batch = tuple[int, list[int], Answers]


class ShardStore:
    """The shards of one evaluation, named by ``key``: those of another one are as good as none."""

    def __init__(self, folder: Path, key: str, *, seconds_between: float = SECONDS_BETWEEN_SHARDS) -> None:
        self.folder, self.key, self.seconds_between = folder, key, seconds_between
        self._pending: list[Batch] = []
        self._written = time.monotonic()

    def batches(self) -> Iterator[Batch]:
        """Yield every complete batch on disk: its number, its items and their answers.

        Shards that cannot be read, or belong to another evaluation, are left out.
        """
        for path in sorted(self.folder.glob("*.parquet")):
            try:
                table = pq.read_table(path)
            except (pa.ArrowException, OSError):
                continue
            if (table.schema.metadata or {}).get(_KEY) == self.key.encode():
                yield from _batches_of(table.combine_chunks())

    def add(self, number: int, items: Sequence[int], answers: Answers) -> None:
        """Keep one batch; write a shard when the last one is some seconds old."""
        self._pending.append((number, list(items), answers))
        if time.monotonic() - self._written >= self.seconds_between:
            self.flush()

    def flush(self) -> None:
        """Write what is pending as one shard, atomically."""
        if self._pending:
            make_directory(self.folder)
            table = _table_of(self._pending).replace_schema_metadata({_KEY: self.key.encode()})
            path = self.folder / f"batch-{self._pending[0][0]:08d}.parquet"
            write_with(path, lambda temporary: pq.write_table(table, temporary))
            self._pending = []
        self._written = time.monotonic()

    def remove(self) -> None:
        """Remove all shards, also half-written ones, and the folder."""
        with writable(self.folder):
            for path in [*self.folder.glob("*.parquet"), *self.folder.glob(".*.tmp")]:
                path.unlink(missing_ok=True)
            if self.folder.is_dir():
                self.folder.rmdir()


def _table_of(batches: Iterable[Batch]) -> pa.Table:
    columns: dict[str, list[Any]] = {"batch": [], "item": []}
    for number, items, answers in batches:
        columns["batch"] += [number] * len(items)
        columns["item"] += items
        for name, rows in answers.items():
            columns.setdefault(name, []).extend(rows)
    return pa.table({name: pa.array(values) for name, values in columns.items()})


def _batches_of(table: pa.Table) -> Iterator[Batch]:
    numbers, items = table["batch"].to_numpy(), table["item"].to_numpy()
    names = [name for name in table.column_names if name not in ("batch", "item")]
    rows = {name: table[name].to_numpy() for name in names}
    for number in np.unique(numbers):
        places = np.flatnonzero(numbers == number)
        yield int(number), items[places].tolist(), {name: [rows[name][i] for i in places] for name in names}
