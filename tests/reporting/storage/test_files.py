"""A crash leaves the old file or the new one, and a place that cannot be written says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from gelu_patch.errors import EnvironmentProblem, ExitCode
from gelu_patch.reporting.storage.files import make_directory, write_text, write_with


def test_text_is_utf_8_and_parents_are_made(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a" / "b" / "report.md", "±1 % \n")
    assert path.read_bytes() == "±1 % \n".encode()
    assert path.stat().st_mode & 0o777 == 0o644
    assert [p.name for p in path.parent.iterdir()] == ["report.md"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    path = write_text(tmp_path / "report.json", "old")

    def half(temporary: Path) -> None:
        temporary.write_text("ne")
        assert path.read_text() == "old"
        raise error

    with pytest.raises(error):
        write_with(path, half)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_a_problem_of_the_environment(tmp_path: Path) -> None:
    def full(temporary: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(EnvironmentProblem, match="cannot write") as caught:
        write_with(tmp_path / "x", full)
    assert caught.value.exit_code is ExitCode.ENVIRONMENT == 6
    assert "No space left on device" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["file", "file/below", "file/far/below"])
def test_a_place_that_is_no_directory(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("in the way")
    for attempt in (make_directory, lambda path: write_text(path / "x", "text")):
        with pytest.raises(EnvironmentProblem) as caught:
            attempt(tmp_path / place)
        assert caught.value.exit_code is ExitCode.ENVIRONMENT
        assert "--output_dir" in str(caught.value.next_step)
    assert (tmp_path / "file").read_text() == "in the way"
