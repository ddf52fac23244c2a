"""Hidden states by layer: a round trip, and files that cannot be meant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from gelu_patch.errors import DataError, DataNotFound
from gelu_patch.reporting.storage.drift import Drift
from gelu_patch.reporting.storage.run_folder import DRIFT, RunFolder


def layers(seed: int) -> list[np.ndarray]:
    draw = np.random.default_rng(seed).normal
    return [draw(size=(2, 4)).astype(np.float32), draw(size=(2, 6)).astype(np.float32)]


@pytest.mark.parametrize("noise", [None, layers(1)])
def test_round_trip_also_with_layers_of_other_widths(tmp_path: Path, noise: list[np.ndarray] | None) -> None:
    Drift(["a", "b"], layers(0), noise).save(tmp_path / DRIFT)
    found = RunFolder(tmp_path).drift
    assert found is not None
    assert found.ids == ["a", "b"]
    for saved, read in ((layers(0), found.own), (noise or [], found.noise or [])):
        assert all(np.array_equal(one, other) for one, other in zip(saved, read, strict=True))


def test_a_run_without_them_has_none(tmp_path: Path) -> None:
    assert RunFolder(tmp_path).drift is None
    assert RunFolder(tmp_path).noise is None
    with pytest.raises(DataNotFound):
        Drift.load(tmp_path / DRIFT)


def test_a_missing_row_a_nan_and_half_a_file(tmp_path: Path) -> None:
    path = Drift(["a", "b"], layers(0)).save(tmp_path / DRIFT)
    whole = path.read_bytes()
    pq.write_table(pq.read_table(path).slice(1), path)
    with pytest.raises(DataError, match="cannot read"):
        Drift.load(path)
    path.write_bytes(whole[:100])
    with pytest.raises(DataError, match="cannot read"):
        Drift.load(path)
    broken = layers(0)
    broken[1][0, 0] = np.nan
    with pytest.raises(DataError) as caught:
        Drift.load(Drift(["a", "b"], broken).save(path))
    assert "NaN" in str(caught.value.why)
