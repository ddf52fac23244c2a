"""Checkpoints on disk: whole or not there at all, each with the hashes of its files.

A checkpoint is written into a directory with a temporary name, flushed to the disk, described by a manifest, flushed
again, and only then renamed. Older ones are removed after that. So a process that is killed, or a disk that is
full, costs at most the checkpoint that was being written. Files are safetensors, JSON and the training log:
nothing that is loaded here can run code.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from gelu_patch.errors import DataError, EnvironmentProblem

MANIFEST, STATE, LOG = "manifest.json", "state.json", "log.jsonl"
VERSION = 1
FEWEST_KEPT = 2

_NAME = re.compile(r"step_(\d+)")
_TENSORS = ".safetensors"


@dataclass(frozen=True)
class Content:
    """What a checkpoint holds: tensors by the name of their file, plain data, and the lines of the log so far."""

    tensors: Mapping[str, Mapping[str, Tensor]]
    state: Mapping[str, Any]
    log: bytes = b""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was found on disk, after ``step`` optimizer steps."""

    path: Path
    step: int

    def check(self) -> None:
        """Raise DataError, saying why, unless every file is there as it was written."""
        files = self._manifest()
        for name, expected in files.items():
            file = self.path / name
            if not file.is_file():
                raise _unusable(self.path, f"{name} is missing")
            if file.stat().st_size != expected["bytes"]:
                raise _unusable(self.path, f"{name} has {file.stat().st_size} bytes instead of {expected['bytes']}")
            if _sha256(file) != expected["sha256"]:
                raise _unusable(self.path, f"{name} is not what was written: its sha256 differs")
        if self.step != (found := self._json(STATE).get("step")):
            raise _unusable(self.path, f"it is of step {found}, not {self.step}")

    def state(self) -> dict[str, Any]:
        """Return the plain data."""
        return self._json(STATE)

    def log(self) -> bytes:
        """Return the lines of the log up to this step."""
        return (self.path / LOG).read_bytes()

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Return the tensors of the file ``name``, on the CPU."""
        try:
            return load_file(self.path / f"{name}{_TENSORS}")
        except (OSError, SafetensorError) as error:
            raise _unusable(self.path, f"{name}{_TENSORS}: {error}") from error

    def _manifest(self) -> dict[str, Any]:
        if not (self.path / MANIFEST).is_file():
            raise _unusable(self.path, f"it has no {MANIFEST}: gelu-patch did not write it, or not to its end")
        manifest = self._json(MANIFEST)
        if manifest.get("version") != VERSION:
            raise _unusable(self.path, f"it has version {manifest.get('version')}, and this gelu-patch reads {VERSION}")
        files: dict[str, Any] = manifest.get("files", {})
        if not {STATE, LOG} <= set(files) or any(Path(name).name != name for name in files):
            raise _unusable(self.path, f"{MANIFEST} does not name the files of a checkpoint")
        return files

    def _json(self, name: str) -> dict[str, Any]:
        try:
            content = json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise _unusable(self.path, f"{name} cannot be read: {error}") from error
        if not isinstance(content, dict):
            raise _unusable(self.path, f"{name} holds no JSON object")
        return content


@dataclass
class Checkpoints:
    """The checkpoints of one run in ``directory``; the newest ``keep`` are kept, at least two."""

    directory: Path
    keep: int = FEWEST_KEPT
    # What could not be used, and why; filled by ``newest``.
    skipped: dict[Path, str] = field(default_factory=dict)

    def newest(self) -> Checkpoint | None:
        """Return the newest checkpoint whose files are whole; note in ``skipped`` why newer ones are not."""
        for checkpoint in reversed(self._all()):
            try:
                checkpoint.check()
            except DataError as error:
                self.skipped[checkpoint.path] = error.why or error.what
            else:
                return checkpoint
        return None

    def write(self, step: int, content: Content) -> Checkpoint:
        """Write a checkpoint, then remove those that are too old.

        Raises EnvironmentProblem when it cannot be written; what was there before is then still there.
        """
        final = self.directory / f"step_{step:08d}"
        unfinished, replaced = self._temporary(final, "new"), self._temporary(final, "old")
        with self._explained(final):
            try:
                self._fill(unfinished, content, step)
                if final.exists():
                    final.rename(replaced)
                unfinished.rename(final)
                flush_directory(self.directory)
            finally:
                if replaced.exists() and not final.exists():
                    replaced.rename(final)
                self.remove_unfinished()
        self._prune(step)
        return Checkpoint(final, step)

    def remove_unfinished(self) -> None:
        """Remove what a killed process left behind under temporary names."""
        for path in self.directory.glob(".step_*.tmp"):
            shutil.rmtree(path, ignore_errors=True)

    def _fill(self, directory: Path, content: Content, step: int) -> None:
        directory.mkdir(parents=True)
        for name, tensors in content.tensors.items():
            whole = {key: tensor.detach().contiguous() for key, tensor in tensors.items()}
            _write(directory / f"{name}{_TENSORS}", lambda file, whole=whole: save_file(whole, file))  # type: ignore[misc]
        _write_text(directory / STATE, {**content.state, "step": step})
        _write(directory / LOG, lambda file: file.write_bytes(content.log))
        written = sorted(directory.iterdir())
        files = {file.name: {"sha256": _sha256(file), "bytes": file.stat().st_size} for file in written}
        _write_text(directory / MANIFEST, {"version": VERSION, "files": files})
        flush_directory(directory)

    def _prune(self, step: int) -> None:
        """Keep the newest ones up to ``step``; later ones are of a course that was left."""
        checkpoints = self._all()
        kept = [each for each in checkpoints if each.step <= step][-max(self.keep, FEWEST_KEPT) :]
        for checkpoint in checkpoints:
            if checkpoint not in kept:
                # Renamed first: half of a checkpoint must not be found under its name.
                doomed = self._temporary(checkpoint.path, "old")
                with suppress(OSError):
                    checkpoint.path.rename(doomed)
        self.remove_unfinished()

    def _all(self) -> list[Checkpoint]:
        found = [(path, _NAME.fullmatch(path.name)) for path in self.directory.glob("step_*")]
        return sorted((Checkpoint(path, int(match[1])) for path, match in found if match), key=lambda each: each.step)

    def _temporary(self, path: Path, why: str) -> Path:
        return path.with_name(f".{path.name}.{why}.{os.getpid()}.tmp")

    @contextmanager
    def _explained(self, path: Path) -> Iterator[None]:
        try:
            yield
        except (OSError, SafetensorError) as error:
            older = self._all()
            kept = f"the last one is {older[-1].path.name}" if older else "there is none yet"
            raise EnvironmentProblem(
                f"cannot write the checkpoint {path}",
                why=f"{error}; older checkpoints are as they were, {kept}",
                next_step="free some space there (or fix the permissions), and run the same command again: "
                "it goes on from the last checkpoint",
            ) from error


def checkpoint_at(path: Path) -> Checkpoint:
    """Return the checkpoint in the directory ``path``, whole. Raises DataError when it cannot be used."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise DataError(
            f"{path} is no checkpoint",
            why="its name is not step_N, as gelu-patch names them; a checkpoint of another program is not loaded, "
            "because its files may run code",
            next_step="give a directory step_N that gelu-patch wrote, or the folder of a run",
        )
    checkpoint = Checkpoint(path, int(match[1]))
    checkpoint.check()
    return checkpoint


def flush_directory(path: Path) -> None:
    """Make names in a directory survive a power failure, where the system can do that."""
    handle = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems cannot
            os.fsync(handle)
    finally:
        os.close(handle)


def _write(path: Path, write: Callable[[Path], Any]) -> None:
    write(path)
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _write_text(path: Path, content: Mapping[str, Any]) -> None:
    text = json.dumps(content, indent=1, sort_keys=True) + "\n"
    _write(path, lambda file: file.write_text(text, encoding="utf-8"))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unusable(path: Path, why: str) -> DataError:
    return DataError(f"the checkpoint {path} cannot be used", why=why, next_step="use an older one")
