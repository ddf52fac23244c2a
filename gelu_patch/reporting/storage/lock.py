"""One process at a time works in a run folder, and whoever looks can tell which one and since when."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from gelu_patch.errors import OutputExists
from gelu_patch.reporting.storage.files import writable

LOCK = ".lock"
_ATTEMPTS = 5


class Owner(NamedTuple):
    """The process that holds a lock; ``started`` is when it was started, in seconds since 1970."""

    pid: int
    host: str
    started: float

    @classmethod
    def me(cls) -> Owner:
        """Return this process."""
        return cls(os.getpid(), socket.gethostname(), round(psutil.Process().create_time(), 2))

    @property
    def is_gone(self) -> bool:
        """Whether it surely runs no more: it was on this machine, and its number is free or another process's."""
        if self.host != socket.gethostname():
            return False
        try:
            return bool(abs(psutil.Process(self.pid).create_time() - self.started) > 1)
        except psutil.Error:
            return True


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of an existing run folder for the length of the block.

    The operating system releases it when the process ends in any way; what a killed process left is recognised as
    stale. Raises OutputExists when another process holds it.
    """
    with writable(folder / LOCK):
        handle = _acquire(folder / LOCK)
    try:
        yield
    finally:
        # Removed before it is released: who opens the file later makes a new one.
        (folder / LOCK).unlink(missing_ok=True)
        os.close(handle)


def owner_of(folder: Path) -> Owner | None:
    """Return the process that works in a run folder now, or None."""
    path = folder / LOCK
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        owner = _read(handle)
        if owner is None or owner.is_gone:
            return None
        if owner.host == socket.gethostname() and _try(handle, fcntl.LOCK_SH):
            return None
        return owner
    finally:
        os.close(handle)


def refuse_running(folder: Path) -> None:
    """Raise OutputExists when a process works in this run folder now."""
    owner = owner_of(folder)
    if owner is not None:
        raise _taken(folder, owner)


def _acquire(path: Path) -> int:
    for attempt in range(_ATTEMPTS):  # somebody may just be looking, or releasing
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        owner = _read(handle)
        other_machine = owner is not None and owner.host != socket.gethostname()  # may not see our lock
        if not other_machine and _try(handle, fcntl.LOCK_EX) and _is_still(path, handle):
            break
        os.close(handle)
        if other_machine or attempt == _ATTEMPTS - 1:
            raise _taken(path.parent, owner)
        time.sleep(0.05)
    os.ftruncate(handle, 0)
    os.pwrite(handle, json.dumps(Owner.me()._asdict()).encode(), 0)
    return handle


def _try(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(path: Path, handle: int) -> bool:
    """Tell whether the file at ``path`` is the one that was locked, and not one made since."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.stat(path), os.fstat(handle))
    return False


def _read(handle: int) -> Owner | None:
    try:
        content: dict[str, Any] = json.loads(os.pread(handle, 10_000, 0))
        return Owner(int(content["pid"]), str(content["host"]), float(content["started"]))
    except (ValueError, KeyError, TypeError):
        return None


def _taken(folder: Path, owner: Owner | None) -> OutputExists:
    since = "another process" if owner is None else f"process {owner.pid} on {owner.host}"
    return OutputExists(
        f"a run is going on in {folder}",
        why=f"{since} holds {folder / LOCK}",
        next_step="wait until it is finished or stop it; if that machine is gone, remove the lock file",
    )
