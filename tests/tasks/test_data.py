"""Columns are found as in the public benchmark sets; rows that cannot be used are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gelu_patch.errors import DataError
from gelu_patch.tasks import read_examples


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data.jsonl"


@pytest.mark.parametrize(
    ("columns", "texts", "pairs"),
    [
        ({"text": "A"}, ("A",), None),
        ({"sentence": "A"}, ("A",), None),
        ({"sentence1": "A", "sentence2": "B"}, ("A",), ("B",)),
        ({"premise": "A", "hypothesis": "B"}, ("A",), ("B",)),
        ({"question1": "A", "question2": "B"}, ("A",), ("B",)),
        ({"sentence": "B", "question": "A"}, ("A",), ("B",)),
        ({"question": "A"}, ("A",), None),
        ({"sentence1": "A"}, ("A",), None),
        ({"text": "A", "sentence2": "B"}, ("A",), None),
    ],
)
def test_text_columns_are_found(file: Path, columns: dict[str, str], texts: tuple[str], pairs: Any) -> None:
    found = read_examples(write(file, {**columns, "label": 1}))
    assert (found.texts, found.text_pairs) == (texts, pairs)


def test_named_columns_win(file: Path) -> None:
    row = {"text": "no", "label": "no", "id": "no", "review": "A", "reply": "B", "stars": 5, "key": "k"}
    names = {
        "text_column": "review",
        "text_pair_column": "reply",
        "label_column": "stars",
        "id_column": "key",
    }
    found = read_examples(write(file, row), **names)
    assert (found.texts, found.text_pairs, found.labels, found.ids) == (("A",), ("B",), ("5",), ("k",))


def test_ids_come_from_the_file_or_from_the_row(file: Path) -> None:
    rows = [{"text": "A", "label": 1}, {"text": "B", "label": 0}]
    assert read_examples(write(file, *rows)).ids == ("row-1", "row-2")
    assert read_examples(write(file, *({**row, "idx": i} for i, row in enumerate(rows)))).ids == ("0", "1")


def test_labels_are_one_text_whatever_the_format(file: Path, tmp_path: Path) -> None:
    numbers = read_examples(write(file, {"text": "A", "label": 1}, {"text": "B", "label": 0.0}))
    (tmp_path / "data.csv").write_text("text,label\nA,1\nB, 0\n")
    assert numbers.labels == read_examples(tmp_path / "data.csv").labels == ("1", "0")


@pytest.mark.parametrize(
    ("rows", "where", "next_step"),
    [
        ([{"text": "A", "stars": 1}], "label column", "--label_column NAME"),
        ([{"review": "A", "label": 1}], "text column", "--text_column NAME"),
        ([{"text": "A", "label": 1}, {"text": " ", "label": 1}], "row 2 ", "--text_column"),
        ([{"text": "A", "label": 1}, {"text": None, "label": 1}], "row 2 ", "--text_column"),
        ([{"text": 5, "label": 1}], "something else than text", "--text_column"),
        ([{"sentence1": "A", "sentence2": "", "label": 1}], "'sentence2'", "--text_column"),
        ([{"text": "A", "label": None}], "no label in column 'label'", "--label_column"),
        ([{"text": "A", "label": float("nan")}], "no label", "--label_column"),
        ([{"text": "A", "label": 0.5}], "no class", "--label_column"),
        ([{"text": "A", "label": [1]}], "no class", "--label_column"),
        ([{"text": "A", "label": 1, "id": 7}, {"text": "B", "label": 1, "id": 7}], "rows 1 and 2", "own id"),
        ([{"text": "A", "label": 1, "id": None}], "an empty id", "own id"),
    ],
)
def test_unusable_rows_and_columns(file: Path, rows: list[dict[str, Any]], where: str, next_step: str) -> None:
    with pytest.raises(DataError) as caught:
        read_examples(write(file, *rows))
    assert where in str(caught.value)
    assert next_step in str(caught.value.next_step)


def test_a_missing_column_lists_what_there_is(file: Path) -> None:
    with pytest.raises(DataError, match="no label column 'stars'") as caught:
        read_examples(write(file, {"text": "A", "rating": 1}), label_column="stars")
    assert caught.value.why == "its columns are 'text', 'rating'"


def test_many_bad_rows_are_not_all_listed(file: Path) -> None:
    with pytest.raises(DataError, match="no text") as caught:
        read_examples(write(file, *({"text": "", "label": 1} for _ in range(9))))
    assert caught.value.where == "rows 1, 2, 3, 4, 5, ... (the first row is 1); 9 of 9 rows"


@pytest.mark.parametrize("content", ["", "text,label\n"])
def test_no_rows(tmp_path: Path, content: str) -> None:
    (tmp_path / "empty.csv").write_text(content)
    with pytest.raises(DataError, match="no examples"):
        read_examples(tmp_path / "empty.csv")


def test_hashes_see_ids_texts_labels_and_their_order(file: Path) -> None:
    rows = [{"text": "A", "label": 1, "id": "a"}, {"text": "B", "label": 0, "id": "b"}]
    base = read_examples(write(file, *rows))
    swapped = read_examples(write(file, *reversed(rows)))
    relabelled = read_examples(write(file, {**rows[0], "label": 0}, rows[1]))
    paired = read_examples(write(file, *({**row, "reply": "x"} for row in rows)), text_pair_column="reply")
    assert len({each.inputs_sha256 for each in (base, swapped, relabelled, paired)}) == 4
    assert base.ids_sha256 == relabelled.ids_sha256 != swapped.ids_sha256


def test_a_dataset_object_is_read_like_its_folder(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    names = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    dataset = datasets.Dataset.from_dict({"text": ["good film", "bad film"], "label": [1, 0]}, features=names)
    dataset.save_to_disk(str(tmp_path / "saved"))
    given, saved = read_examples(dataset), read_examples(tmp_path / "saved")
    assert given.labels == ("pos", "neg")
    assert (given.ids, given.texts, given.labels) == (saved.ids, saved.texts, saved.labels)
