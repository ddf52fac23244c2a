"""What an installation brings along: resolved by pip under the constraints, for the core and each extra.

Nothing is downloaded: pip reads the metadata alone. Sizes are those of the files that are installed where this runs;
what is not installed there, and is small, is unpacked into a scratch folder.
"""

from __future__ import annotations

import json
import tempfile
import tomllib
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

from .licences import licence
from .workspace import CONSTRAINTS, ROOT, Environment, Workspace, run

CORE = "core"


def extras() -> list[str]:
    """Return the core and all extras, in the order of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [CORE, *project["optional-dependencies"]]


def measure(workspace: Workspace) -> dict[str, Any]:
    distributions: dict[str, dict[str, Any]] = {}
    closures: dict[str, list[str]] = {}
    for extra in extras():
        items = _resolved(workspace, extra)
        closures[extra] = sorted((item["metadata"]["name"] for item in items), key=str.lower)
        for item in items:
            metadata = item["metadata"]
            distributions[metadata["name"]] = {"version": metadata["version"], "licence": licence(metadata)}
    for name, found in distributions.items():
        found["bytes"] = _size(workspace.tools, name, found["version"])
    ordered = {name: distributions[name] for name in sorted(distributions, key=str.lower)}
    return {"closures": closures, "distributions": ordered}


def _resolved(workspace: Workspace, extra: str) -> list[dict[str, Any]]:
    what = f"gelu-patch[{'' if extra == CORE else extra}] @ {workspace.wheel.as_uri()}"
    report = workspace.path / f"closure-{extra}.json"
    command = ("install", "--quiet", "--dry-run", "--ignore-installed", "--report", report, "--constraint", CONSTRAINTS)
    run(workspace.tools.python, "-m", "pip", *command, what)
    installed = json.loads(report.read_text(encoding="utf-8"))["install"]
    return [item for item in installed if item["metadata"]["name"] != "gelu-patch"]


def _size(tools: Environment, name: str, wanted: str) -> int:
    """Return the bytes of the installed files, without bytecode."""
    try:
        if version(name) == wanted:
            return sum(path.size or 0 for path in distribution(name).files or [])
    except PackageNotFoundError:
        pass
    with tempfile.TemporaryDirectory() as folder:
        tools.install("--no-deps", "--no-compile", "--target", folder, f"{name}=={wanted}")
        return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
