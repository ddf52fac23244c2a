"""The published JSON Schema, and reports of earlier versions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gelu_patch.errors import DataError, ExitCode, InvalidMeasurement
from gelu_patch.reporting.comparing.arms import SeedRuns
from gelu_patch.reporting.comparing.compare import compare_runs, comparison_report
from gelu_patch.reporting.rendering.console import comparison_text
from gelu_patch.reporting.rendering.html import html_report
from gelu_patch.reporting.rendering.markdown import markdown_report
from gelu_patch.reporting.schema import Report
from gelu_patch.reporting.schema.published import PUBLISHED, json_schema_text
from gelu_patch.reporting.storage.run_folder import RunFolder
from tests.reporting import made_up

OLD = Path(__file__).parent / "fixtures" / "report-1.0-compare.json"


def validator() -> Any:
    jsonschema = pytest.importorskip("jsonschema")
    published = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(published)
    return jsonschema.Draft202012Validator(published)


def test_the_published_schema_is_current() -> None:
    assert PUBLISHED.read_text(encoding="utf-8") == json_schema_text(), "run: make schema"


def test_reports_fit_the_published_schema(full_report: Report, tmp_path: Path) -> None:
    runs = [made_up.run(seeds=1), made_up.run("x", b=12)]
    for report in (full_report, runs[0].report, comparison_report("two", runs, [compare_runs(*runs)])):
        path = RunFolder.create(tmp_path, overwrite=True).write_report(report)
        validator().validate(json.loads(path.read_text(encoding="utf-8")))


def test_the_schema_refuses_what_is_no_report(full_report: Report) -> None:
    raw = json.loads(full_report.model_dump_json(by_alias=True))
    for damage in ({"kind": "party"}, {"quality": [{"metric": "f1"}]}, {"comparisons": [{"verdict": "MAYBE"}]}):
        assert list(validator().iter_errors({**raw, **damage}))


@pytest.fixture
def old(tmp_path: Path) -> RunFolder:
    (tmp_path / "report.json").write_bytes(OLD.read_bytes())
    return RunFolder.open(tmp_path)


def test_a_report_of_the_first_version_is_readable_and_printable(old: RunFolder) -> None:
    report = old.report
    assert report.schema_version == "1.0"
    assert [each.verdict for each in report.comparisons] == [
        each["verdict"] for each in json.loads(OLD.read_text())["comparisons"]
    ]
    validator().validate(json.loads(OLD.read_text(encoding="utf-8")))
    assert report.comparison is not None
    assert "VERDICT" in comparison_text(report.comparison)
    assert report.verdict is not None
    assert report.verdict in markdown_report(report)
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    assert report.verdict in html_report(report)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_metric_that_is_no_number_is_an_invalid_measurement(tmp_path: Path, number: str) -> None:
    text = json.dumps(json.loads(made_up.run().report.model_dump_json(by_alias=True)))
    (tmp_path / "report.json").write_text(text.replace("0.9,", f"{number},", 1))
    with pytest.raises(InvalidMeasurement, match="holds the number") as caught:
        _ = RunFolder.open(tmp_path).report
    assert caught.value.exit_code is ExitCode.INVALID


def test_a_newer_schema_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"schema_version": "2.0", "kind": "eval"}')
    with pytest.raises(DataError, match=r"schema '2\.0'") as caught:
        _ = RunFolder.open(tmp_path).report
    assert caught.value.next_step == "pip install --upgrade gelu-patch"


def test_the_truncated_half_of_a_report_is_damaged(old: RunFolder) -> None:
    path = old.path / "report.json"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match="cannot read"):
        _ = RunFolder.open(old.path).report


def test_an_arm_of_seeds_fits_the_schema(tmp_path: Path) -> None:
    runs = []
    for target in ("stock", "relu"):
        seeds = [made_up.run(target, seeds=1, weights=f"{target}{seed}") for seed in range(2)]
        for seed, run in enumerate(seeds):
            assert run.report.training
            run.report.training.per_seed[0].seed = seed
        runs.append(SeedRuns(seeds))
    report = comparison_report("seeds", runs, [compare_runs(*runs)])
    assert report.comparison is not None
    assert report.comparison.divergence is not None
    path = RunFolder.create(tmp_path).write_report(report)
    validator().validate(json.loads(path.read_text(encoding="utf-8")))
