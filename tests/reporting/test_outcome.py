"""The public verb: runs in, an outcome that prints and saves itself, and never torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gelu_patch.errors import DataNotFound, ExitCode, OutputExists, UsageError
from gelu_patch.reporting.outcome import compare
from gelu_patch.reporting.storage.run_folder import RunFolder
from tests.reporting import made_up


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, Path]:
    """Two run folders on disk."""
    paths = tmp_path / "before", tmp_path / "after"
    for path, run in zip(paths, (made_up.run(), made_up.run("relu", b=200)), strict=True):
        folder = RunFolder.create(path)
        folder.write_predictions(run.predictions)
        folder.write_report(run.report)
    return paths


def test_folders_paths_and_objects_give_the_same_outcome(saved: tuple[Path, Path]) -> None:
    folders = compare(*(RunFolder.open(path) for path in saved))
    paths = compare(str(saved[0]), saved[1] / "report.json")
    live = compare(made_up.run(), made_up.run("relu", b=200))
    assert folders.comparison == paths.comparison
    assert folders.comparison.results == live.comparison.results
    assert (folders.verdict, folders.exit_code) == ("DO NOT SHIP", ExitCode.DO_NOT_SHIP)
    assert str(folders).splitlines()[-1] == f"VERDICT   {folders.comparison.headline}"


def test_save_writes_every_format(saved: tuple[Path, Path], tmp_path: Path) -> None:
    folder = compare(*saved, margins={"accuracy": "2pp"}).save(tmp_path / "out")
    assert sorted(path.name for path in folder.path.iterdir()) == ["report.html", "report.json", "report.md"]
    report = RunFolder.open(folder.path).report
    assert report.files == {"markdown": "report.md", "html": "report.html"}
    assert report.comparison is not None
    assert report.comparison.policy.margins["accuracy"] == "2pp"
    with pytest.raises(OutputExists):
        compare(*saved).save(folder.path)
    compare(*saved).save(folder.path, overwrite=True)


def test_without_matplotlib_the_rest_is_written_and_the_report_says_why(
    saved: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    folder = compare(*saved).save(tmp_path / "out")
    assert sorted(path.name for path in folder.path.iterdir()) == ["report.json", "report.md"]
    assert 'pip install "gelu-patch[report]"' in folder.report.warnings[0]


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match="not a finished run"):
        compare(tmp_path, tmp_path)
    with pytest.raises(UsageError, match="cannot compare a dict"):
        compare({}, {})  # type: ignore[arg-type]


def test_comparing_saved_runs_imports_no_torch(saved: tuple[Path, Path], tmp_path: Path) -> None:
    code = (
        "import sys, json; from gelu_patch.reporting.outcome import compare\n"
        "outcome = compare(sys.argv[1], sys.argv[2]); outcome.save(sys.argv[3])\n"
        "heavy = {'torch', 'transformers', 'accelerate', 'evaluate', 'datasets'} & sys.modules.keys()\n"
        "print(json.dumps([outcome.verdict, sorted(heavy)]))"
    )
    command = [sys.executable, "-c", code, *map(str, saved), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["DO NOT SHIP", []]
