from __future__ import annotations

import pytest

from gelu_patch.errors import DataError, DataNotFound
from gelu_patch.reporting.storage.timings import CONTROL, STOCK, Cell, read_timings, write_timings

TIMINGS = {
    Cell((1, 8), "forward"): [{STOCK: [0.1, 0.2], CONTROL: [0.3, 0.4]}, {STOCK: [0.5], CONTROL: [0.6]}],
    Cell((2, 8), "generate"): [{STOCK: [1.0], CONTROL: [2.0]}],
}


def test_what_is_written_is_read_again(tmp_path):
    path = write_timings(tmp_path / "timings.parquet", TIMINGS)
    assert read_timings(path) == TIMINGS


def test_nothing_measured_is_a_table_without_rows(tmp_path):
    assert read_timings(write_timings(tmp_path / "timings.parquet", {})) == {}


def test_a_missing_or_damaged_file(tmp_path):
    with pytest.raises(DataNotFound, match="no timings"):
        read_timings(tmp_path / "timings.parquet")
    (tmp_path / "timings.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(DataError, match="cannot read"):
        read_timings(tmp_path / "timings.parquet")
