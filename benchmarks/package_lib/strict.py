"""Do strict type checkers accept a user's script? Against the installed wheel, out of reach of the source tree."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .workspace import ROOT, Workspace, clean_environment, run

SCRIPT = ROOT / "tests" / "packaging" / "user_script.py"


def measure(workspace: Workspace) -> dict[str, Any]:
    folder = workspace.empty_folder("strict")
    shutil.copy(SCRIPT, folder)
    python = workspace.with_wheel.python
    run(
        workspace.with_wheel.python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--force-reinstall",
        workspace.wheel,
    )
    return {
        "script": SCRIPT.relative_to(ROOT).as_posix(),
        "checkers": {"mypy --strict": _mypy(folder, python), "pyright, strict": _pyright(workspace, folder, python)},
    }


def _mypy(folder: Path, python: Path) -> dict[str, Any]:
    command = (sys.executable, "-m", "mypy", "--strict", "--config-file=", "--python-executable", python, SCRIPT.name)
    done = subprocess.run(command, cwd=folder, env=clean_environment(), capture_output=True, text=True)
    complaints = [line for line in done.stdout.splitlines() if ": error:" in line]
    if done.returncode and not complaints:
        complaints = [done.stderr[-500:] or done.stdout[-500:]]
    return {"version": version("mypy"), "complaints": complaints}


def _pyright(workspace: Workspace, folder: Path, python: Path) -> dict[str, Any]:
    (folder / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": "strict", "include": [SCRIPT.name]}))
    command = (workspace.tools.python, "-m", "pyright", "--outputjson", "--pythonpath", python, "-p", folder)
    found = json.loads(run(*command, cwd=folder, env=clean_environment(), check=False))
    complaints = [
        f"{SCRIPT.name}:{each['range']['start']['line'] + 1}: {each['message']}" for each in found["generalDiagnostics"]
    ]
    return {"version": found["version"], "complaints": complaints}
