"""A run on disk: complete or not there, never mixed, and readable by older and newer versions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gelu_patch.errors import DataError, DataNotFound, EnvironmentProblem, ExitCode, InvalidMeasurement, OutputExists
from gelu_patch.reporting.schema import Report
from gelu_patch.reporting.storage.run_folder import RunFolder
from tests.reporting import made_up
from tests.reporting.made_up import MadeUpRun


def save(path: Path, run: MadeUpRun) -> RunFolder:
    folder = RunFolder.create(path)
    folder.write_predictions(run.predictions)
    folder.write_report(run.report)
    return folder


def test_round_trip(tmp_path: Path) -> None:
    run = made_up.run("relu", seeds=1, b=2)
    run.report.latency, run.report.memory = [made_up.latency(0.95)], [made_up.memory(1 << 20)]
    save(tmp_path / "run", run)
    for path in (tmp_path / "run", str(tmp_path / "run"), tmp_path / "run" / "report.json"):
        found = RunFolder.open(path)
        assert found.report == run.report
        assert found.predictions.ids == run.predictions.ids


def test_what_is_written_is_what_is_read_next(tmp_path: Path) -> None:
    folder = save(tmp_path, made_up.run())
    assert folder.report.run_id == "run-stock"
    assert len(folder.predictions) == 2000
    folder.write_report(made_up.run("relu").report)
    folder.write_predictions(made_up.predictions(7))
    assert folder.report.run_id == "run-relu"
    assert len(folder.predictions) == 7


def test_another_run_is_never_written_into(tmp_path: Path) -> None:
    folder = save(tmp_path, made_up.run())
    for attempt in (folder.check_free, lambda: RunFolder.create(tmp_path)):
        with pytest.raises(OutputExists, match="already holds a run") as caught:
            attempt()
        assert caught.value.exit_code is ExitCode.USAGE
        assert "--overwrite_output_dir" in str(caught.value.next_step)
    assert folder.report.run_id == "run-stock"
    folder.check_free(overwrite=True)
    assert folder.has_report, "asking changes nothing"


def test_overwriting_leaves_nothing_of_the_old_run(tmp_path: Path) -> None:
    save(tmp_path, made_up.run())
    (tmp_path / "notes.txt").write_text("mine")
    folder = RunFolder.create(tmp_path, overwrite=True)
    assert not folder.has_report
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_what_an_interrupted_run_left_behind_is_removed(tmp_path: Path) -> None:
    left = ("predictions.parquet", "training_log.jsonl", "report.html", "report.md", "config.yaml")
    for name in (*left, ".report.json.x1y2.tmp", ".predictions.parquet.abc.tmp"):
        (tmp_path / name).write_text("half")
    (tmp_path / ".other.tmp").write_text("not ours")
    RunFolder.create(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".other.tmp"]


def test_what_cannot_be_removed_is_a_problem_of_the_environment(tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(EnvironmentProblem, match=r"report\.html"):
        RunFolder.create(tmp_path)


@pytest.mark.parametrize(("place", "why"), [("nowhere", "no such directory"), ("empty", "it has no report.json")])
def test_what_is_no_run_is_not_opened(tmp_path: Path, place: str, why: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataNotFound, match="not a finished run") as caught:
        RunFolder.open(tmp_path / place)
    assert caught.value.exit_code is ExitCode.ENVIRONMENT
    assert why in str(caught.value)


def test_a_run_without_predictions(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path)
    folder.write_report(made_up.run().report)
    with pytest.raises(DataNotFound, match="no predictions"):
        _ = RunFolder.open(tmp_path).predictions


@pytest.mark.parametrize("version", ["2.0", "10.0", "", None])
def test_another_major_schema_is_refused(tmp_path: Path, version: str | None) -> None:
    folder = save(tmp_path, made_up.run())
    raw = json.loads((tmp_path / "report.json").read_text())
    (tmp_path / "report.json").write_text(json.dumps({**raw, "schema_version": version}))
    with pytest.raises(DataError, match="report schema") as caught:
        _ = RunFolder.open(folder.path).report
    assert "pip install --upgrade" in str(caught.value.next_step)


def test_fields_of_a_newer_minor_version_survive(tmp_path: Path) -> None:
    folder = save(tmp_path, made_up.run())
    raw = json.loads((tmp_path / "report.json").read_text())
    raw |= {"schema_version": "1.9", "carbon": {"grams": [1, None]}}
    raw["subject"]["quantised"] = True
    raw["quality"][0]["per_class"] = {"positive": 0.9}
    (tmp_path / "report.json").write_text(json.dumps(raw))
    folder = RunFolder.open(tmp_path)
    folder.write_report(folder.report)
    assert json.loads((tmp_path / "report.json").read_text()) == raw


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"3", b"null", b"\xff\xfe", b'{"schema_version": "1.0", "kind": "party"}']
)
def test_a_damaged_report_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "report.json").write_bytes(content)
    with pytest.raises(DataError, match=r"cannot read .*report\.json"):
        _ = RunFolder.open(tmp_path).report


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_json_lacks_are_never_written(tmp_path: Path, number: float) -> None:
    folder, report = save(tmp_path, made_up.run()), made_up.run("broken").report
    report.quality[0].value = number
    with pytest.raises(InvalidMeasurement, match="NaN or infinite") as caught:
        folder.write_report(report)
    assert caught.value.exit_code is ExitCode.INVALID
    assert RunFolder.open(tmp_path).report.run_id == "run-stock", "the old report is still whole"


def test_a_report_fits_the_published_schema(tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    run = made_up.run("relu", seeds=2)
    run.report.latency, run.report.memory = [made_up.latency(0.95)], [made_up.memory(1 << 20)]
    save(tmp_path, run)
    validator = jsonschema.Draft202012Validator(Report.model_json_schema())
    raw = json.loads((tmp_path / "report.json").read_text())
    validator.validate(raw)
    raw["kind"] = "party"
    assert not validator.is_valid(raw), "the schema can refuse"
