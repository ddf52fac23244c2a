"""Every format gives the same columns, and every bad file its own error."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gelu_patch.errors import DataError, DataNotFound, ExitCode, MissingExtra
from gelu_patch.tasks.tables import READERS, read_columns

ROWS = [{"text": 'a "fine", film', "label": "1"}, {"text": "two\nlines \u2028 here", "label": "0"}]
COLUMNS = {"text": [row["text"] for row in ROWS], "label": ["1", "0"]}


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def delimited(separator: str) -> str:
    quoted = ['"' + value.replace('"', '""') + '"' for row in ROWS for value in row.values()]
    return f"text{separator}label\r\n{quoted[0]}{separator}1\r\n\r\n{quoted[2]}{separator}0\r\n"


def sample(path: Path) -> Path:
    match path.suffix:
        case ".csv":
            return write(path, delimited(","))
        case ".tsv":
            return write(path, delimited("\t"))
        case ".jsonl":
            return write(path, "\n\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS))
        case ".json":
            return write(path, json.dumps(ROWS, indent=1))
        case ".txt":
            return write(path, "\r\n\n  ".join(row["text"] for row in ROWS) + "\n \n\n")
        case ".parquet":
            pq.write_table(pa.Table.from_pylist(ROWS), path)
    return path


@pytest.mark.parametrize("suffix", READERS)
def test_every_format_gives_the_same_columns(tmp_path: Path, suffix: str) -> None:
    expected = {"text": COLUMNS["text"]} if suffix == ".txt" else COLUMNS
    assert read_columns(sample(tmp_path / f"data{suffix}")) == expected


def test_a_folder_of_text_files_is_one_document_per_file(tmp_path: Path) -> None:
    write(tmp_path / "b.txt", "two\n\nparts\n")
    write(tmp_path / "a.txt", "one")
    assert read_columns(tmp_path) == {"id": ["a.txt", "b.txt"], "text": ["one", "two\n\nparts"]}
    write(tmp_path / "c.txt", " \n")
    with pytest.raises(DataError, match=r"c\.txt is empty"):
        read_columns(tmp_path)


def test_an_upper_case_ending_and_a_byte_order_mark_are_fine(tmp_path: Path) -> None:
    path = write(tmp_path / "DATA.CSV", "\ufefftext,label\ngood,1\n")
    assert read_columns(path) == {"text": ["good"], "label": ["1"]}


def test_a_field_longer_than_the_csv_modules_limit(tmp_path: Path) -> None:
    text = "word " * 40_000
    assert read_columns(write(tmp_path / "long.csv", f"text,label\n{text},1\n"))["text"] == [text]


def test_json_rows_may_lack_keys(tmp_path: Path) -> None:
    path = write(tmp_path / "data.jsonl", '{"a": 1}\n{"b": 2}\n')
    assert read_columns(path) == {"a": [1, None], "b": [None, 2]}


def test_a_saved_dataset_gives_class_names(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    rows = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 0, -1]}, features=features)
    datasets.DatasetDict(test=rows).save_to_disk(tmp_path / "saved")
    assert read_columns(tmp_path / "saved" / "test") == {"text": ["a", "b", "c"], "label": ["pos", "neg", None]}
    with pytest.raises(DataError, match="several splits") as caught:
        read_columns(tmp_path / "saved")
    assert caught.value.next_step == f"name one of them: {tmp_path / 'saved' / 'test'}"
    (tmp_path / "saved" / "test" / "state.json").write_text("{")
    with pytest.raises(DataError, match="cannot read"):
        read_columns(tmp_path / "saved" / "test")


def test_a_saved_dataset_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    write(tmp_path / "state.json", "{}")
    with pytest.raises(MissingExtra, match="datasets") as caught:
        read_columns(tmp_path)
    assert caught.value.next_step == 'pip install "gelu-patch[evaluate]"'


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match="there is no data") as caught:
        read_columns(tmp_path / "train.csv")
    assert caught.value.exit_code is ExitCode.ENVIRONMENT


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("data.xlsx", "PK", "cannot tell the format"),
        ("data.csv", "text,label\nca\xf1on,1\n".encode("latin-1"), "not UTF-8"),
        ("data.csv", "text,label\ngood,1\nbad, very bad,0\n", "row 2"),
        ("data.csv", "text,label\ngood\n", "it has 1 fields and the header has 2"),
        ("data.csv", 'text,label\n"never closed,1\nbad,0\n', "check the quotes"),
        ("data.csv", "text,text\na,b\n", "two columns called 'text'"),
        ("data.tsv", "text\tlabel\na\tb\tc\n", "ragged row"),
        ("data.jsonl", '{"text": "a"}\n{"text": \n', "line 2, column"),
        ("data.jsonl", '{"text": "a"}\n"just text"\n', "found str"),
        ("data.json", '[{"text": "a"}, 3]', "found int"),
        ("data.jsonl", b"\xff\xfe\x00", "not UTF-8"),
        ("data.parquet", b"PAR1 and nothing more PAR1", "cannot read"),
        ("data.parquet", b"", "cannot read"),
    ],
)
def test_each_bad_file_has_its_own_message(tmp_path: Path, name: str, content: str | bytes, says: str) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(DataError) as caught:
        read_columns(path)
    assert says in str(caught.value)
    assert str(path) in caught.value.what
    assert caught.value.next_step


def test_a_directory_that_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a saved data set"):
        read_columns(tmp_path)
