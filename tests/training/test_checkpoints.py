"""A checkpoint is whole or not there, whatever happens while it is written or afterwards."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gelu_patch.errors import DataError, EnvironmentProblem
from gelu_patch.training.checkpoints import LOG, MANIFEST, STATE, Checkpoints, Content, checkpoint_at


def content(value: float = 1.0) -> Content:
    return Content(tensors={"model": {"weight": torch.full((100, 10), value)}}, state={"run": {}}, log=b"line\n")


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "new")
    checkpoints.write(3, content(7.0))
    found = checkpoints.newest()
    assert found is not None
    assert found.step == 3
    assert torch.equal(found.tensors("model")["weight"], torch.full((100, 10), 7.0))
    assert found.log() == b"line\n"
    assert found.state() == {"run": {}, "step": 3}
    assert set(names(found.path)) == {"model.safetensors", STATE, LOG, MANIFEST}


@pytest.mark.parametrize(("asked", "kept"), [(0, 2), (1, 2), (2, 2), (3, 3)])
def test_the_newest_are_kept_and_never_fewer_than_two(tmp_path: Path, asked: int, kept: int) -> None:
    for step in range(1, 6):
        Checkpoints(tmp_path, keep=asked).write(step, content())
    assert names(tmp_path) == [f"step_{step:08d}" for step in range(6 - kept, 6)]


def test_writing_a_step_again_replaces_it_and_removes_later_ones(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        Checkpoints(tmp_path, keep=5).write(step, content())
    Checkpoints(tmp_path, keep=5).write(2, content(9.0))
    assert names(tmp_path) == ["step_00000001", "step_00000002"]
    assert checkpoint_at(tmp_path / "step_00000002").tensors("model")["weight"][0, 0] == 9.0


def damage_byte(path: Path) -> None:
    file = path / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def edit_state(path: Path) -> None:
    file = path / STATE
    file.write_text(file.read_text().replace('"step": 2', '"step": 1'))


def other_version(path: Path) -> None:
    file = path / MANIFEST
    file.write_text(json.dumps({**json.loads(file.read_text()), "version": 99}))


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "one bit": (damage_byte, "sha256 differs"),
    "cut short": (lambda path: os.truncate(path / "model.safetensors", 100), "100 bytes instead of"),
    "a file less": (lambda path: (path / "model.safetensors").unlink(), "is missing"),
    "no manifest": (lambda path: (path / MANIFEST).unlink(), "no manifest.json"),
    "half a manifest": (lambda path: os.truncate(path / MANIFEST, 50), "cannot be read"),
    "an edited state": (edit_state, "sha256 differs"),
    "another name": (lambda path: path.rename(path.with_name("step_00000009")), "of step 2, not 9"),
    "a newer version": (other_version, "version 99"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_one_is_passed_over_and_named(tmp_path: Path, damage: str) -> None:
    break_it, reason = DAMAGE[damage]
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.write(step, content())
    break_it(tmp_path / "step_00000002")
    found = checkpoints.newest()
    assert found is not None
    assert found.step == 1
    assert [reason in why for why in checkpoints.skipped.values()] == [True]


def test_all_damaged(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        damage_byte(checkpoints.write(step, content()).path)
    assert checkpoints.newest() is None
    assert len(checkpoints.skipped) == 2


def test_nothing_of_another_program_is_loaded(tmp_path: Path) -> None:
    """Such a directory may hold pickles, and loading these may run code."""
    foreign = tmp_path / "checkpoint-500"
    foreign.mkdir()
    (foreign / "optimizer.bin").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(DataError, match="no checkpoint"):
        checkpoint_at(foreign)
    foreign.rename(tmp_path / "step_00000500")
    with pytest.raises(DataError, match="cannot be used"):
        checkpoint_at(tmp_path / "step_00000500")
    assert Checkpoints(tmp_path).newest() is None


def test_a_full_disk_costs_the_new_checkpoint_only(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.write(step, content())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(EnvironmentProblem, match="cannot write the checkpoint") as caught:
            checkpoints.write(3, content())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "older checkpoints are as they were, the last one is step_00000002" in str(caught.value.why)
    assert "run the same command again" in str(caught.value.next_step)
    assert names(tmp_path) == ["step_00000001", "step_00000002"]
    for name in names(tmp_path):
        checkpoint_at(tmp_path / name)


@pytest.mark.parametrize("again", [2, 3])
def test_a_rename_that_fails_leaves_the_old_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: int) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.write(step, content())
    real = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if ".new." in self.name:
            raise OSError("no")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(EnvironmentProblem):
        checkpoints.write(again, content())
    assert names(tmp_path) == ["step_00000001", "step_00000002"]
    for name in names(tmp_path):
        checkpoint_at(tmp_path / name)


def test_files_are_flushed_before_the_name_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def sync(handle: int) -> None:
        done.append(os.readlink(f"/proc/self/fd/{handle}"))
        real_sync(handle)

    def rename(self: Path, target: Path) -> Path:
        done.append("rename")
        return real_rename(self, target)

    real_sync, real_rename = os.fsync, Path.rename
    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "rename", rename)
    Checkpoints(tmp_path).write(1, content())
    before, after = done[: done.index("rename")], done[done.index("rename") + 1 :]
    assert {Path(name).name for name in before[:-1]} == {"model.safetensors", STATE, LOG, MANIFEST}
    assert Path(before[-2]).name == MANIFEST
    assert before[-1].endswith(".tmp")  # the directory itself
    assert after == [str(tmp_path)]


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".step_00000001.new.123.tmp"
    left.mkdir()
    (left / "model.safetensors").write_bytes(b"half")
    assert Checkpoints(tmp_path).newest() is None
    Checkpoints(tmp_path).write(1, content())
    assert names(tmp_path) == ["step_00000001"]
