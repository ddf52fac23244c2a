"""The same runs give the same bytes in another process, in another place, in another time zone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gelu_patch.reporting.rendering.html import html_report
from gelu_patch.reporting.rendering.markdown import markdown_report
from gelu_patch.reporting.schema import Report
from gelu_patch.reporting.storage.run_folder import RunFolder


def test_another_process_writes_the_same_bytes(full_report: Report, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    RunFolder.create(tmp_path).write_report(full_report)
    code = (
        "import sys\n"
        "from gelu_patch.reporting.storage.run_folder import RunFolder\n"
        "from gelu_patch.reporting.rendering.html import html_report\n"
        "from gelu_patch.reporting.rendering.markdown import markdown_report\n"
        "report = RunFolder.open(sys.argv[1]).report\n"
        "sys.stdout.buffer.write((html_report(report) + '\\0' + markdown_report(report)).encode())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "17", "TZ": "Asia/Tokyo", "PYTHONPATH": os.getcwd()}
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, check=True, env=environment, cwd=tmp_path)
    html, markdown = done.stdout.decode().split("\0")
    assert html == html_report(full_report)
    assert markdown == markdown_report(full_report)


def test_a_comparison_report_fits_the_published_schema(full_report: Report, tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    path = RunFolder.create(tmp_path).write_report(full_report)

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    raw = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    jsonschema.Draft202012Validator(Report.model_json_schema()).validate(raw)
    assert Report.model_validate(raw) == full_report


def test_statistics_and_reporting_start_without_torch() -> None:
    code = (
        "import sys, gelu_patch.stats.bootstrap, gelu_patch.stats.paired, gelu_patch.stats.power\n"
        "import gelu_patch.stats.single, gelu_patch.stats.timing, gelu_patch.reporting.outcome\n"
        "print(*sorted({'torch', 'transformers', 'accelerate', 'peft', 'datasets', 'matplotlib'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
