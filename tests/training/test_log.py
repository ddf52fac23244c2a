"""The log holds one line per step, survives a killed run, and is JSON even when the loss is not a number."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from gelu_patch.errors import DataError, DataNotFound, EnvironmentProblem
from gelu_patch.training.log import StepRecord, TrainingLog, read_log

RECORD = StepRecord(seed=0, step=1, epoch=0.5, loss=0.25, grad_norm=1.5, learning_rate=0.1, seconds=0.01)


def record(**changes: float) -> StepRecord:
    return StepRecord(**{**RECORD.__dict__, **changes})


def test_lines_come_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "log.jsonl"
    for seed in (0, 1):
        with TrainingLog(path) as log:
            log.append(record(seed=seed).to_json())
    assert [StepRecord(**line) for line in read_log(path)] == [record(seed=0), record(seed=1)]


def test_a_line_is_on_disk_before_the_log_is_closed(tmp_path: Path) -> None:
    with TrainingLog(tmp_path / "log.jsonl") as log:
        log.append(RECORD.to_json())
        assert len(read_log(tmp_path / "log.jsonl")) == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", ["loss", "grad_norm"])
def test_what_is_no_number_becomes_null_and_is_flagged(field: str, value: float) -> None:
    broken = record(**{field: value})
    line = json.loads(broken.to_json(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert line[field] is None
    assert line["nonfinite"] is True
    assert not broken.is_finite


def test_a_finite_line_carries_no_flag() -> None:
    assert "nonfinite" not in json.loads(RECORD.to_json())


def test_an_unfinished_last_line_is_dropped_and_not_grown_onto(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(RECORD.to_json() + "\n" + RECORD.to_json()[:20])
    assert len(read_log(path)) == 1
    with TrainingLog(path) as log:
        log.append(record(step=2).to_json())
    assert [line["step"] for line in read_log(path)] == [1, 2]


def test_damage_before_the_end_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"step":\n{"step": 2}\n')
    with pytest.raises(DataError, match="damaged") as caught:
        read_log(tmp_path / "log.jsonl")
    assert caught.value.where == "line 1"


def test_no_log(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound):
        read_log(tmp_path / "log.jsonl")
    with TrainingLog(None) as log:
        log.append("nowhere")


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match="cannot write"), TrainingLog(tmp_path / "file" / "log.jsonl"):
        pass
