"""A scratch folder with what the pieces share: the committed tree, what was built of it, environments, tools."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONSTRAINTS = ROOT / "constraints.txt"
# Used here only, so no extra has them; their versions are in constraints.txt like those of all others.
TOOLS = ("abi3audit", "pip", "pyright", "twine")


def run(*command: object, cwd: Path | None = None, env: dict[str, str] | None = None, check: bool = True) -> str:
    """Run a command and return its output; what it says on failure is shown before the error is raised."""
    done = subprocess.run([str(word) for word in command], cwd=cwd, env=env, capture_output=True, text=True)
    if check and done.returncode:
        print(done.stdout[-4000:], done.stderr[-4000:], sep="\n", file=sys.stderr)
        done.check_returncode()
    return done.stdout


def _commit_in(archive: Path) -> str:
    with archive.open("rb") as packed:
        found = subprocess.run(["git", "get-tar-commit-id"], stdin=packed, capture_output=True, text=True, check=True)
    return found.stdout.strip()


def clean_environment(**changes: str) -> dict[str, str]:
    """Return this process's environment without what would show a source tree to Python, and offline for models."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GELU_PATCH"))}
    return kept | {"HF_HUB_OFFLINE": "1"} | changes


@dataclass(frozen=True)
class Environment:
    """A virtual environment."""

    path: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.path / "bin" / "python"

    @property
    def command(self) -> Path:
        """The command ``gelu-patch``."""
        return self.path / "bin" / "gelu-patch"

    def install(self, *what: object, env: dict[str, str] | None = None) -> None:
        """Install under the constraints, so that torch is the pinned one, whoever asks for it."""
        run(self.python, "-m", "pip", "install", "--quiet", "--constraint", CONSTRAINTS, *what, env=env)


@dataclass(frozen=True)
class Workspace:
    """The folder. What is there already is used again, so a piece can be measured by itself."""

    path: Path

    @cached_property
    def source(self) -> Path:
        """The committed tree, and nothing that lies about in this one."""
        tree, archive = self.path / "source", self.path / "source.tar"
        if not tree.exists():
            run("git", "archive", "--output", archive, "HEAD", cwd=ROOT)
            with tarfile.open(archive) as packed:
                packed.extractall(tree, filter="data")
        return tree

    @cached_property
    def commit(self) -> str:
        """The commit of that tree."""
        assert self.source.exists()
        return run("git", "-C", ROOT, "rev-parse", "--short", _commit_in(self.path / "source.tar")).strip()

    @cached_property
    def dist(self) -> Path:
        """The folder of the sdist, and of the wheel that was built from it, by ``python -m build``."""
        folder = self.path / "dist"
        if not folder.exists():
            run(sys.executable, "-m", "build", "--outdir", folder, self.source)
        return folder

    @property
    def wheel(self) -> Path:
        """What ``python -m build`` made for this machine."""
        return next(self.dist.glob("*.whl"))

    @property
    def sdist(self) -> Path:
        """What it made for all machines."""
        return next(self.dist.glob("*.tar.gz"))

    def empty_folder(self, name: str) -> Path:
        """Return a folder with nothing in it."""
        folder = self.path / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def empty(self, name: str) -> Environment:
        """Return a new environment with pip alone, as a person begins."""
        environment = Environment(self.empty_folder(name))
        run(sys.executable, "-m", "venv", environment.path)
        return environment

    @cached_property
    def tools(self) -> Environment:
        """The environment of ``TOOLS``."""
        environment = Environment(self.path / "tools")
        if not environment.path.exists():
            environment = self.empty("tools")
            environment.install("--upgrade", *TOOLS)
        return environment

    @cached_property
    def with_wheel(self) -> Environment:
        """The environment that has the wheel, and what it needs, installed."""
        environment = Environment(self.path / "wheel")
        if not environment.path.exists():
            environment = self.empty("wheel")
            environment.install(self.wheel)
        return environment
