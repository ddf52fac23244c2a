"""How long the first moments take: every sample is a fresh process with its files in the cache.

Processor time: imports run on one thread, so on an idle machine it is the time of the clock, and on a busy one it says
more than that.
"""

from __future__ import annotations

import resource
import sys
from typing import Any

from .workspace import Workspace, clean_environment, run

REPEATS = 7
_TIMED = "import time, {before}; t = time.process_time(); {what}; print(time.process_time() - t)"

# Whole processes, and what happens inside of one after other imports.
PROCESSES = {
    "`python -c pass`": ("-c", "pass"),
    "`python -c 'import gelu_patch'`": ("-c", "import gelu_patch"),
    "`gelu-patch --help`": ("-m", "gelu_patch", "--help"),
    "`gelu-patch compare --help`": ("-m", "gelu_patch", "compare", "--help"),
    "`python -c 'import torch, transformers'`, for comparison": ("-c", "import torch, transformers"),
}
INSIDE = {
    "`import gelu_patch`, alone": _TIMED.format(before="sys", what="import gelu_patch"),
    "first use of `gelu_patch.patch_model`, after torch and transformers": _TIMED.format(
        before="torch, transformers, gelu_patch", what="gelu_patch.patch_model"
    ),
}


def measure(workspace: Workspace) -> dict[str, Any]:
    """Interleave all of them, so that a disturbance hits all; the first round fills caches and is dropped."""
    samples: dict[str, list[float]] = {name: [] for name in (*PROCESSES, *INSIDE)}
    for _ in range(REPEATS + 1):
        for name, arguments in PROCESSES.items():
            before = _of_children()
            _python(workspace, *arguments)
            samples[name].append(_of_children() - before)
        for name, code in INSIDE.items():
            samples[name].append(float(_python(workspace, "-c", code)))
    return {"samples": {name: [round(value, 6) for value in values[1:]] for name, values in samples.items()}}


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _python(workspace: Workspace, *arguments: str) -> str:
    environment = clean_environment(PYTHONPATH=str(workspace.source))
    return run(sys.executable, *arguments, cwd=workspace.path, env=environment)
