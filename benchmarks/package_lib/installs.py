"""Does it install in an empty environment, with and without a compiler, and work there?"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gelu_patch.cli.app import app

from .workspace import Environment, Workspace, clean_environment, run

PROBE = Path(__file__).with_name("probe.py")
LARGEST_DIFFERENCE = 1e-5  # of logits near 1, in float32: the same mathematics


@dataclass(frozen=True)
class Way:
    """One way of installing: what, and whether a C compiler is in reach."""

    artifact: str
    compiler: bool

    @property
    def has_extension(self) -> bool:
        """Whether the C extension is there afterwards."""
        return self.artifact == "wheel" or self.compiler


# The wheel's comes first: the other pieces use its environment.
WAYS = {
    "wheel, no compiler": Way("wheel", compiler=False),
    "sdist, with a compiler": Way("sdist", compiler=True),
    "sdist, no compiler": Way("sdist", compiler=False),
}


def measure(workspace: Workspace) -> dict[str, Any]:
    return {name: _try(workspace, way) for name, way in WAYS.items()}


def _try(workspace: Workspace, way: Way) -> dict[str, Any]:
    name = way.artifact if way.artifact == "wheel" else f"{way.artifact}-{way.compiler}"
    environment = workspace.empty(name)
    # With nothing but the environment's own commands in reach there is no compiler.
    env = clean_environment() if way.compiler else clean_environment(PATH=str(environment.path / "bin"))
    started = time.perf_counter()
    # From pip's cache an sdist would come as the wheel that the way before this one built.
    environment.install("--no-cache-dir", getattr(workspace, way.artifact), env=env)
    seconds = time.perf_counter() - started
    try:
        checks = _checks(environment, way, env, workspace.path)
    finally:
        if way.artifact != "wheel":
            shutil.rmtree(environment.path)
    return {"seconds": round(seconds, 1), "checks": checks}


def _checks(environment: Environment, way: Way, env: dict[str, str], cwd: Path) -> dict[str, dict[str, Any]]:
    def say(*arguments: str) -> str:
        return run(environment.command, *arguments, cwd=cwd, env=env)

    found = json.loads(run(environment.python, PROBE, cwd=cwd, env=env))
    version, helped = say("--version").strip(), say("--help")
    verbs = [command.name for command in app.registered_commands if command.name]
    sections = json.loads(say("doctor", "--json"))["sections"]
    extension = next(row[1] for row in sections[0]["rows"] if row[0] == "C extension")
    inside = Path(found["home"]).is_relative_to(environment.path)
    return {
        "`gelu-patch --version`": _check(version, version == f"gelu-patch {found['version']}"),
        "`gelu-patch --help`": _check(f"{len(verbs)} verbs", all(verb in helped for verb in verbs)),
        "`import gelu_patch`": _check(
            "imports neither torch nor transformers" if not found["imported with it"] else str(found),
            inside and not found["imported with it"],
        ),
        "`patch_model` on a small BERT, proven and undone": _check(
            f"{found['sites']} sites by {', '.join(found['kernels'])}; logits differ by {found['difference']:.1e}; "
            f"{'bit-equal' if found['undone'] else 'NOT EQUAL'} after the undo",
            found["sites"] == 3 and found["difference"] < LARGEST_DIFFERENCE and found["undone"],
        ),
        "`gelu-patch doctor`": _check(
            f"C extension: {extension}",
            extension.startswith("level") if way.has_extension else "not built" in extension,
        ),
    }


def _check(found: str, passed: bool) -> dict[str, Any]:
    return {"found": found, "passed": bool(passed)}
