"""What ``python -m build`` makes of this tree, built without network and without torch."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from benchmarks.package_lib.artifacts import (
    extension_problems,
    metadata,
    metadata_problems,
    names_in_wheel,
    sdist_problems,
    wheel_problems,
)

ROOT = Path(__file__).parents[2]
BUILDABLE = importlib.util.find_spec("build") is not None

pytestmark = [
    pytest.mark.slow,
    # `make test` installs it, so a person without it may skip and CI may not.
    pytest.mark.skipif(not BUILDABLE and "CI" not in os.environ, reason="build is not installed: pip install build"),
    pytest.mark.skipif(not (ROOT / ".git").exists(), reason="an sdist is made of what git knows"),
]


def git_files() -> set[str]:
    """What is committed, or will be."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return {name for name in names if (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of what git knows, where nothing else lies about."""
    copy = tmp_path_factory.mktemp("tree")
    for name in git_files():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def dist(tree, tmp_path_factory):
    """An sdist and the wheel of it; no compiler is run, which another test does. torch cannot be imported."""
    folder, no_torch = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("no_torch")
    (no_torch / "torch.py").write_text("raise ImportError('building needs no torch')")
    command = [sys.executable, "-m", "build", "--no-isolation", "--skip-dependency-check", "--outdir", folder, tree]
    env = os.environ | {"CC": "false", "PYTHONPATH": str(no_torch)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def only(folder: Path, pattern: str) -> Path:
    [found] = folder.glob(pattern)
    return found


def test_the_wheel_has_the_package_and_nothing_else(dist, tree):
    wheel = only(dist, "*.whl")
    assert wheel_problems(wheel, tree) == []
    names = names_in_wheel(wheel)
    assert {"gelu_patch/py.typed", "gelu_patch/__init__.pyi"} <= set(names)
    assert any(name.endswith(".html.j2") for name in names)
    assert any(name.endswith(".schema.json") for name in names)


def test_without_a_compiler_there_is_a_wheel_and_it_has_no_extension(dist):
    assert extension_problems(only(dist, "*.whl")) == ["compiled files: []"]


def test_the_sdist_has_what_it_needs_to_build_and_to_test(dist):
    assert sdist_problems(only(dist, "*.tar.gz"), git_files()) == []


def test_the_metadata(dist):
    assert metadata_problems(metadata(only(dist, "*.whl"))) == []


@pytest.mark.parametrize(("member", "problem"), [
    ("tests/test_x.py", "should not be there: tests/test_x.py"),
    ("gelu_patch/kernels/cpu/source/native.c", "should not be there: gelu_patch/kernels/cpu/source/native.c"),
])  # fmt: skip
def test_a_stray_file_is_noticed(dist, tree, tmp_path, member, problem):
    wheel = shutil.copy(only(dist, "*.whl"), tmp_path)
    with zipfile.ZipFile(wheel, "a") as packed:
        packed.writestr(member, "")
    assert wheel_problems(Path(wheel), tree) == [problem]


def test_a_lost_file_is_noticed(dist, tree):
    (tree / "gelu_patch" / "forgotten.json").write_text("{}")
    try:
        assert wheel_problems(only(dist, "*.whl"), tree) == ["missing: gelu_patch/forgotten.json"]
    finally:
        (tree / "gelu_patch" / "forgotten.json").unlink()
