"""Labelled texts: which columns hold them, and what must be true of them before anything is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from gelu_patch.errors import DataError
from gelu_patch.reporting.storage.predictions import digest
from gelu_patch.tasks.tables import HUB, Columns, columns_of_dataset, read_columns, read_hub

# The column names of the public benchmark sets, in the order in which they are tried.
LABEL_COLUMNS = ("label", "labels")
ID_COLUMNS = ("id", "idx")
TEXT_COLUMNS: tuple[tuple[str, str | None], ...] = (
    ("text", None),
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("sentence", None),
    ("question", None),
    ("sentence1", None),
)
NAMED_AT_MOST = 5
SHOWN_CHARACTERS = 200
GROUP_COLUMN = "group_id"

Source = Literal["file", "hub", "synthetic", "package"]


@dataclass(frozen=True)
class TextExamples:
    """Labelled texts in the order of their file; every tuple has one entry per example.

    ``labels`` are the labels as written in the file, as text, None for documents without; ``text_pairs`` is None
    for single texts. ``groups`` names what belongs together, such as the questions about one text. ``limited``
    says that these are the first examples only.
    ``name`` says where they come from, in errors and reports, and ``source`` what kind of place that is.
    """

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    text_pairs: tuple[str, ...] | None
    labels: tuple[str, ...] | None
    name: str
    source: Source = "file"
    groups: tuple[str, ...] | None = None
    limited: bool = False

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def ids_sha256(self) -> str:
        """Hash of the ordered ids."""
        return digest(self.ids)

    @property
    def inputs_sha256(self) -> str:
        """Hash of the ordered texts and labels."""
        columns = [self.texts, self.text_pairs or ("",) * len(self), *([] if self.labels is None else [self.labels])]
        kind = ("single" if self.text_pairs is None else "pair") + ("" if self.labels is not None else " unlabelled")
        return digest([kind, *(part for row in zip(*columns, strict=True) for part in row)])

    @property
    def distinct_inputs(self) -> set[tuple[str, str]]:
        """The texts without their labels, each once."""
        return set(zip(self.texts, self.text_pairs or ("",) * len(self), strict=True))

    @property
    def known_labels(self) -> tuple[str, ...]:
        """The labels. Raises DataError for documents without."""
        if self.labels is None:
            raise DataError(
                f"{self.name} has no labels", why="it was read as documents", next_step="name a --label_column"
            )
        return self.labels

    @property
    def shown(self) -> tuple[str, ...]:
        """The texts in one line each, clipped, for people to read."""
        pairs = self.text_pairs or ("",) * len(self)
        joined = (f"{text} | {pair}" if pair else text for text, pair in zip(self.texts, pairs, strict=True))
        return tuple(shorten(text) for text in joined)

    def first(self, n: int | None) -> TextExamples:
        """Return the first ``n`` examples, marked as limited when there were more."""
        if n is None or n >= len(self):
            return self
        parts = ("ids", "texts", "text_pairs", "labels", "groups")
        cut = {name: column and column[:n] for name in parts for column in [getattr(self, name)]}
        return replace(self, **cut, limited=True)


def shorten(text: str) -> str:
    """Return a text in one line of at most ``SHOWN_CHARACTERS``."""
    line = " ".join(text[: 2 * SHOWN_CHARACTERS].split())
    return line if len(line) <= SHOWN_CHARACTERS else line[: SHOWN_CHARACTERS - 1] + "…"


def read_examples(
    source: str | Path | Any,
    *,
    text_column: str | None = None,
    text_pair_column: str | None = None,
    label_column: str | None = None,
    id_column: str | None = None,
    group_column: str | None = None,
    labelled: bool = True,
) -> TextExamples:
    """Read texts from CSV, TSV, JSON lines, Parquet, text, a ``datasets`` ``save_to_disk`` folder, or a Dataset.
    ``hub:OWNER/NAME:SPLIT`` is a data set of the Hub.

    Columns that are not named are found by the names of the public benchmark sets: the label in ``label``,
    the text in ``text``, ``sentence``, ``sentence1`` with ``sentence2``, and so on. Ids come from ``id`` or
    ``idx``, else from the row number, the first row being 1; groups from ``group_id``. Without ``labelled``
    labels and second texts are not looked for. A text file holds one document per block, between blank lines; a
    folder of text files one per file.

    Raises DataNotFound when the file does not exist, and DataError when a column is missing, a text is empty,
    a label is missing, an id occurs twice or there are no rows.
    """
    origin: Source = "file"
    if isinstance(source, str) and source.startswith(HUB):
        path, origin = Path(source.removeprefix(HUB)), "hub"
        columns = read_hub(source.removeprefix(HUB))
    elif isinstance(source, str | Path):
        path = Path(source).expanduser()
        columns = read_columns(path)
    else:
        path = Path("the given data set")
        columns = columns_of_dataset(source)
    if not columns or not len(next(iter(columns.values()))):
        raise DataError(f"{path} has no examples", why="it holds no rows", next_step="give a file with rows")
    if not labelled:
        _refuse_labels(label_column, text_pair_column)
    usual = TEXT_COLUMNS if labelled else tuple((first, None) for first, _ in TEXT_COLUMNS)
    text, pair = _text_columns(path, columns, text_column, text_pair_column, usual)
    label = _column(path, columns, "label", label_column, LABEL_COLUMNS) if labelled else None
    return TextExamples(
        ids=_ids(path, columns, id_column),
        texts=_texts(path, text, columns[text]),
        text_pairs=None if pair is None else _texts(path, pair, columns[pair]),
        labels=None if label is None else _labels(path, label, columns[label]),
        name=str(path),
        source=origin,
        groups=_groups(path, columns, group_column),
    )


def _refuse_labels(*asked: str | None) -> None:
    if any(asked):
        raise DataError(
            "a language model reads documents, one text each",
            why="a label column or a second text was named",
            next_step="remove --label_column and --text_pair_column, or use --task text-classification",
        )


def _text_columns(
    path: Path,
    columns: Columns,
    text: str | None,
    pair: str | None,
    usual: Sequence[tuple[str, str | None]],
) -> tuple[str, str | None]:
    if text is not None or pair is not None:
        text = _column(path, columns, "text", text, tuple(first for first, _ in TEXT_COLUMNS))
        return text, None if pair is None else _column(path, columns, "text_pair", pair, ())
    for first, second in usual:
        if first in columns and (second is None or second in columns):
            return first, second
    raise _no_column(path, columns, "text")


def _column(path: Path, columns: Columns, what: str, asked: str | None, usual: Sequence[str]) -> str:
    candidates = usual if asked is None else (asked,)
    found = next((name for name in candidates if name in columns), None)
    if found is None:
        raise _no_column(path, columns, what, asked)
    return found


def _no_column(path: Path, columns: Columns, what: str, asked: str | None = None) -> DataError:
    return DataError(
        f"{path} has no {what} column" + (f" {asked!r}" if asked else ""),
        why=f"its columns are {', '.join(map(repr, columns))}",
        next_step=f"name the right one: --{what}_column NAME",
    )


def _ids(path: Path, columns: Columns, asked: str | None) -> tuple[str, ...]:
    rows = len(next(iter(columns.values())))
    if asked is None and not any(name in columns for name in ID_COLUMNS):
        return tuple(f"row-{number}" for number in range(1, rows + 1))
    name = _column(path, columns, "id", asked, ID_COLUMNS)
    _refuse(path, columns[name], _is_blank, f"an empty id in column {name!r}", "give every row its own id")
    first_row: dict[str, int] = {}
    for number, value in enumerate(columns[name], start=1):
        earlier = first_row.setdefault(str(value), number)
        if earlier != number:
            raise DataError(
                f"{path} has the id {value!r} twice",
                where=f"column {name!r}, rows {earlier} and {number}",
                why="arms are compared example by example, so an id must mean one example",
                next_step=f"give every row its own id, or remove the column {name!r} to use row numbers",
            )
    return tuple(first_row)


def _groups(path: Path, columns: Columns, asked: str | None) -> tuple[str, ...] | None:
    if asked is None and GROUP_COLUMN not in columns:
        return None
    name = _column(path, columns, "group", asked, (GROUP_COLUMN,))
    _refuse(path, columns[name], _is_blank, f"an empty group in column {name!r}", "give every row its group")
    return tuple(map(str, columns[name]))


def _texts(path: Path, name: str, values: list[Any]) -> tuple[str, ...]:
    next_step = f"remove these rows, or name another column: --text_column (now {name!r})"
    _refuse(path, values, _is_blank, f"no text in column {name!r}", next_step)
    _refuse(path, values, lambda v: not isinstance(v, str), f"something else than text in {name!r}", next_step)
    return tuple(values)


def _labels(path: Path, name: str, values: list[Any]) -> tuple[str, ...]:
    next_step = f"remove these rows, or name another column: --label_column (now {name!r})"
    _refuse(path, values, _is_blank, f"no label in column {name!r}", next_step)
    labels = [_label_text(value) for value in values]
    _refuse(path, labels, lambda v: v is None, f"a label that is no class in column {name!r}", next_step)
    return tuple(label for label in labels if label is not None)


def _label_text(value: Any) -> str | None:
    """Return the label as text, so that 1 in JSON and "1" in CSV are one label; None when it is no class."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else None
    return str(value).strip() if isinstance(value, str | int) else None


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip()) or value != value  # NaN != NaN


def _refuse(path: Path, values: Sequence[Any], bad: Any, what: str, next_step: str) -> None:
    rows = [number for number, value in enumerate(values, start=1) if bad(value)]
    if rows:
        raise DataError(
            f"{path} has rows with {what}",
            where=f"{name_some(rows)} (the first row is 1); {len(rows)} of {len(values)} rows",
            next_step=next_step,
        )


def name_some(rows: Sequence[int]) -> str:
    """Return the first few row numbers as text, such as ``rows 3, 8, ...``."""
    dots = ", ..." if len(rows) > NAMED_AT_MOST else ""
    return f"row{'s' if len(rows) > 1 else ''} {', '.join(map(str, rows[:NAMED_AT_MOST]))}{dots}"
