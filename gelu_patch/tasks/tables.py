"""Read a file into named columns; every way in which a file can be bad is a clear error.

A new format is one function and one line in ``READERS``.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

from gelu_patch.errors import DataError, DataNotFound, MissingExtra

Columns = dict[str, list[Any]]

HUB = "hub:"

# A whole e-mail fits in one field; the csv module's own limit is 131,072 characters.
LARGEST_FIELD = 2**30


def read_columns(path: Path) -> Columns:
    """Return the columns of a CSV, TSV, JSON lines, Parquet file or ``datasets`` folder, by name.

    All columns have the same length; a missing value is None. CSV and TSV values are text.
    Raises DataNotFound when there is nothing at ``path``, DataError when it cannot be read.
    """
    if not path.exists():
        raise DataNotFound(
            f"there is no data at {path}",
            why="no such file or directory",
            next_step=f"give a file ({', '.join(READERS)}) or a folder written by datasets' save_to_disk",
        )
    if path.is_dir():
        return _read_texts(path) if any(path.glob("*.txt")) else _read_saved_dataset(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"cannot tell the format of {path}",
            why=f"known endings are {', '.join(READERS)}",
            next_step="rename or convert the file",
        )
    with _readable(path):
        return reader(path)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 text",
            why=f"byte {error.start} cannot be decoded: {error.reason}",
            next_step=f"convert it, for example: iconv -f LATIN1 -t UTF-8 {path}",
        ) from error
    except OSError as error:
        why = f"{type(error).__name__}: {error.strerror or error}"
        raise _damaged(path, why, "check the file and its permissions") from error


def _damaged(path: Path, why: str, next_step: str = "write the file again: it is damaged") -> DataError:
    return DataError(f"cannot read {path}", why=why, next_step=next_step)


def _read_csv(path: Path) -> Columns:
    return _read_delimited(path, ",")


def _read_tsv(path: Path) -> Columns:
    return _read_delimited(path, "\t")


def _read_delimited(path: Path, delimiter: str) -> Columns:
    previous = csv.field_size_limit(LARGEST_FIELD)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            # strict: an unclosed quote must not silently swallow the rest of the file.
            rows = csv.reader(file, delimiter=delimiter, strict=True)
            header = next(rows, [])
            _check_header(path, header)
            return _columns_of(path, header, (row for row in rows if row))
    except csv.Error as error:
        raise _damaged(
            path, str(error), 'check the quotes (a quote inside a field is written ""), or use JSON lines'
        ) from error
    finally:
        csv.field_size_limit(previous)


def _check_header(path: Path, header: list[str]) -> None:
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataError(f"{path} has two columns called {twice[0]!r}", next_step="rename one of them in the first line")


def _columns_of(path: Path, header: list[str], rows: Iterator[list[str]]) -> Columns:
    columns: Columns = {name: [] for name in header}
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise DataError(
                f"{path} has a ragged row",
                where=f"row {number} (the first row after the header is 1)",
                why=f"it has {len(row)} fields and the header has {len(header)}",
                next_step="put quotes around texts that contain the separator, or use JSON lines",
            )
        for name, value in zip(header, row, strict=True):
            columns[name].append(value)
    return columns


def _read_json(path: Path) -> Columns:
    """Read one object per line, or one array of objects."""
    text = path.read_text(encoding="utf-8-sig")
    if text.lstrip().startswith("["):
        records: Iterable[tuple[int, Any]] = enumerate(_parse(path, text), start=1)
    else:
        lines = ((number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip())
        records = ((number, _parse(path, line, number)) for number, line in lines)
    rows: list[dict[str, Any]] = []
    for number, record in records:
        if not isinstance(record, dict):
            raise DataError(
                f"{path} does not hold objects",
                where=f"line {number}",
                why=f"expected {{...}} and found {type(record).__name__}",
                next_step='write one object per line, such as {"text": "good", "label": 1}',
            )
        rows.append(record)
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _parse(path: Path, text: str, line: int = 1) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f"line {line + error.lineno - 1}, column {error.colno}"
        raise _damaged(path, f"not JSON at {place}: {error.msg}", "write one JSON object per line") from error


def _read_blocks(path: Path) -> Columns:
    """Read a text file: one document per block, the blocks separated by blank lines."""
    lines = path.read_text(encoding="utf-8-sig").split("\n")
    blocks = groupby(enumerate(lines, start=1), key=lambda numbered: bool(numbered[1].strip()))
    texts = ["\n".join(line for _, line in numbered).strip() for is_text, numbered in blocks if is_text]
    return {"text": list(texts)}


def _read_texts(folder: Path) -> Columns:
    """Read a folder of text files: one document per file, its name the id."""
    paths = sorted(folder.glob("*.txt"))
    texts = []
    for path in paths:
        with _readable(path):
            texts.append(path.read_text(encoding="utf-8-sig").strip())
        if not texts[-1]:
            raise DataError(f"{path} is empty", why="each file is one document", next_step="remove it")
    return {"id": [path.name for path in paths], "text": list(texts)}


def _read_parquet(path: Path) -> Columns:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return dict(pq.read_table(path).to_pydict())
    except pa.ArrowException as error:
        raise _damaged(path, str(error)) from error


def _read_saved_dataset(path: Path) -> Columns:
    if (path / "dataset_dict.json").is_file():
        splits = sorted(entry.name for entry in path.iterdir() if entry.is_dir())
        raise DataError(
            f"{path} holds several splits",
            why=f"found {', '.join(splits)}",
            next_step=f"name one of them: {path / splits[0] if splits else path / 'train'}",
        )
    if not (path / "state.json").is_file():
        raise DataError(
            f"{path} is a directory but not a saved data set",
            why="it has no state.json",
            next_step="give a file, or a folder written by datasets' save_to_disk",
        )
    try:
        import datasets
    except ImportError as error:
        raise MissingExtra.of("datasets", "evaluate", "reading a save_to_disk folder") from error
    try:
        return columns_of_dataset(datasets.load_from_disk(str(path)))
    except Exception as error:  # a damaged folder fails in many ways: OSError, ArrowInvalid, KeyError, JSON
        raise _damaged(path, f"{type(error).__name__}: {error}") from error


def read_hub(name: str) -> Columns:
    """Return the columns of a data set of the Hub, ``NAME:SPLIT`` or ``NAME/CONFIG:SPLIT``.

    NAME is ``owner/name``. Raises DataError when the name does not say a split, DataNotFound when it cannot be loaded.
    """
    path, _, split = name.rpartition(":")
    owner, *rest = path.split("/", 2)
    if not split or not rest:
        raise DataError(
            f"{HUB}{name} does not name a split of a data set",
            next_step=f"{HUB}OWNER/NAME:SPLIT, or with a configuration, such as {HUB}nyu-mll/glue/sst2:validation",
        )
    try:
        import datasets
    except ImportError as error:
        raise MissingExtra.of("datasets", "evaluate", "reading from the Hub") from error
    try:
        return columns_of_dataset(datasets.load_dataset(f"{owner}/{rest[0]}", *rest[1:], split=split))
    except Exception as error:  # fails in as many ways as there are loaders and networks
        raise DataNotFound(
            f"cannot load the data set {path}, split {split}, from the Hub",
            why=f"{type(error).__name__}: {error}".splitlines()[0],
            next_step="check the name and the network, or give a file",
        ) from error


def columns_of_dataset(dataset: Any) -> Columns:
    """Return the columns of a ``datasets.Dataset``; numbered classes become their names."""
    columns: Columns = {name: list(dataset[name]) for name in dataset.column_names}
    for name, feature in dataset.features.items():
        if hasattr(feature, "int2str"):  # a ClassLabel, without importing datasets
            columns[name] = [_class_name(feature, value) for value in columns[name]]
    return columns


def _class_name(feature: Any, value: int | None) -> str | None:
    # Hub test splits without public labels hold -1.
    return None if value is None or value < 0 else str(feature.int2str(value))


READERS: dict[str, Callable[[Path], Columns]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".json": _read_json,
    ".jsonl": _read_json,
    ".parquet": _read_parquet,
    ".txt": _read_blocks,
}
