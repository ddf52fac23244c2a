"""Fresh processes: a task goes in by pickle, its messages and its result come back.

Not ``multiprocessing``: its "spawn" runs the caller's script again, its "fork" copies the threads' locks and what the
allocators hold, which is what a fresh process is to be free of.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection, Pipe
from typing import Any, TypeVar, cast

from gelu_patch.errors import GeluPatchError
from gelu_patch.timing.tasks import Task

Answer = TypeVar("Answer")

_WORKER = "gelu_patch.timing.worker"


class NotSendable(GeluPatchError):
    """A task, or a part of it, cannot be sent to another process."""


class ProcessDied(GeluPatchError):
    """A process ended without an answer."""


def run_in_process(
    task: Task[Answer], on_message: Callable[[Any], None], *, variables: Mapping[str, str] | None = None
) -> Answer:
    """Run ``task`` in a fresh Python process and return its result; ``on_message`` gets what it sends meanwhile.

    The process sees the caller's module search path, and ``variables`` in its environment. It is ended when this call
    ends, however that happens. Raises NotSendable when the task cannot be pickled here or read there, ProcessDied when
    the process ends without an answer, KeyboardInterrupt when it was interrupted, and whatever error of ours the task
    raises.
    """
    try:
        payload = pickle.dumps(task)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise NotSendable("the job cannot be pickled", why=f"{type(error).__name__}: {error}") from error
    search_path = os.pathsep.join(dict.fromkeys(path or os.getcwd() for path in sys.path))
    environment = {**os.environ, "PYTHONPATH": search_path, **(variables or {})}
    reader, writer = Pipe(duplex=False)
    with reader, tempfile.TemporaryFile() as log:
        with writer:
            process = subprocess.Popen(
                [sys.executable, "-m", _WORKER, str(writer.fileno())],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=[writer.fileno()],
                env=environment,
            )
        try:
            _write(process, payload)
            kind, answer = _last_message(reader, on_message)
        except EOFError:
            code = process.wait()
            if code == -signal.SIGINT:  # Ctrl-C reaches both, and this process may notice it later, or in a finalizer
                raise KeyboardInterrupt from None
            raise _died(code, _tail(log)) from None
        finally:
            process.kill()
            process.wait()
    if kind == "result":
        return cast(Answer, answer)
    if kind == "error":
        raise answer
    if kind == "unreadable":
        raise NotSendable("another process cannot read the job", why=answer)
    why, where = answer
    raise ProcessDied("a measuring process failed", why=why, where=where)


def _write(process: subprocess.Popen[bytes], payload: bytes) -> None:
    assert process.stdin is not None
    try:
        with process.stdin as pipe:
            pipe.write(payload)
    except BrokenPipeError:  # it died; its log says of what
        return


def _last_message(reader: Connection[Any, Any], on_message: Callable[[Any], None]) -> tuple[str, Any]:
    while True:
        kind, content = reader.recv()
        if kind != "message":
            return kind, content
        on_message(content)


def _died(code: int, tail: str) -> ProcessDied:
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return ProcessDied(f"a measuring process ended with {how}", why=tail or None)


def _tail(log: Any) -> str:
    log.seek(0)
    lines = [line for line in log.read().decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1] if lines else ""
