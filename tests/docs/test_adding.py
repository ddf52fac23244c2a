"""docs/adding.md, followed literally: its blocks are files of an installed package, and its commands are typed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.tasks.tiny import save_tiny_gpt2

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"```(?:python|toml)\n# (\S+)\n(.*?)```", re.DOTALL)
COMMAND = re.compile(r"^\$ gelu-patch (.+)$", re.MULTILINE)
PAGE = (ROOT / "docs" / "adding.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the package, and with the metadata that an installer would write."""
    folder = tmp_path_factory.mktemp("scratch")
    for name, text in BLOCK.findall(PAGE):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / "scratch_gelu" / "__init__.py").touch()
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = folder / "scratch_gelu-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups))
    return folder


def run(package: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join([str(ROOT), str(package)])),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done


def test_the_finder_is_tried(package: Path, tmp_path: Path) -> None:
    assert "[0-1].choices.wide" in run(package, str(package / "try_finder.py"), cwd=tmp_path).stdout


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMAND.findall(PAGE))
def test_a_command(package: Path, tmp_path: Path, command: str) -> None:
    save_tiny_gpt2(tmp_path / "MODEL_DIR")
    (tmp_path / "headlines.txt").write_text(
        "\n\n".join(f"the {word} film is a story" for word in ("good", "dull", "bright"))
    )
    run(package, "-m", "gelu_patch", *shlex.split(command), cwd=tmp_path)


def test_every_kind_of_thing_is_added() -> None:
    written = {name for name, _ in BLOCK.findall(PAGE)}
    assert written == {
        "pyproject.toml", "try_finder.py",
        *(f"scratch_gelu/{name}.py" for name in ("mish", "mish_by_pytorch", "in_dictionaries", "headlines")),
    }  # fmt: skip
    assert len(COMMAND.findall(PAGE)) == 2
