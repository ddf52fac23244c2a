"""A worker process that is kept alive over many classes and replaced when it crashes, hangs or grows."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

from .catalogue import ModelClass

TIMEOUT = 120.0  # seconds a class
CLASSES = 150  # until a worker is replaced: thousands of imported modules and compiled caches add up
_COMMAND = Path(__file__).parents[1] / "coverage.py"


class Worker:
    """One child process at a time; ``check`` always returns a row."""

    def __init__(self, timeout: float = TIMEOUT) -> None:
        self._timeout = timeout
        self._process: subprocess.Popen[str] | None = None
        self._answers = -1
        self._served = 0

    def check(self, model_class: ModelClass) -> dict[str, Any]:
        """Return the row of a class, from the child or about its end."""
        process = self._running()
        failed = {"folder": model_class.folder, "class": model_class.name, "status": "crashed"}
        try:
            assert process.stdin is not None
            process.stdin.write(json.dumps(vars(model_class)) + "\n")
            process.stdin.flush()
            line = self._read_line()
        except TimeoutError:
            self.close()
            return failed | {"reason": f"no result in {self._timeout:.0f} s", "seconds": self._timeout}
        except (EOFError, BrokenPipeError):
            code = process.wait()
            self.close()
            return failed | {"reason": f"the process ended with status {code}"}
        self._served += 1
        if self._served >= CLASSES:
            self.close()
        return json.loads(line)

    def close(self) -> None:
        """End the child."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            os.close(self._answers)
            self._process = None

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._answers, write = os.pipe()
            self._process = subprocess.Popen(
                [sys.executable, str(_COMMAND), "--worker", str(write)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,  # models print
                stderr=subprocess.DEVNULL,
                pass_fds=(write,),
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
            os.close(write)
            self._served = 0
        return self._process

    def _read_line(self) -> str:
        data = b""
        while not data.endswith(b"\n"):
            ready, _, _ = select.select([self._answers], [], [], self._timeout)
            if not ready:
                raise TimeoutError
            part = os.read(self._answers, 65536)
            if not part:
                raise EOFError
            data += part
        return data.decode()
