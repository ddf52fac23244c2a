"""Writing files so that a crash leaves the old one or the new one, never half of one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gelu_patch.errors import EnvironmentProblem


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """Turn the operating system's refusal to write ``path`` into an error that says what to do."""
    try:
        yield
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot write {path}",
            why=f"{type(error).__name__}: {error.strerror or error}",
            next_step="choose another --output_dir, or fix the permissions or free space of this one",
        ) from error


def make_directory(path: Path) -> Path:
    """Create ``path`` and its parents, and make sure that files can be written in it."""
    with writable(path):
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    return path


def write_with(path: Path, write: Callable[[Path], Any]) -> Path:
    """Let ``write`` fill a temporary file beside ``path``, flush it to disk, then rename it to ``path``."""
    with writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        temporary = Path(name)
        try:
            os.close(handle)
            write(temporary)
            with open(temporary, "rb") as written:
                os.fsync(written.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    return path


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 text atomically; see ``write_with``."""
    return write_with(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
