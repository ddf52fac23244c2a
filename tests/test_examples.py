"""Every example and every Python block of the README runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gelu_patch.demo.data import CHECKPOINT, SENTENCES
from gelu_patch.errors import DataNotFound

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
NEEDS_DATA = {"compare_two_runs.py"}


def data_is_installed() -> bool:
    try:
        return bool(CHECKPOINT.locate() and SENTENCES.locate())
    except DataNotFound:
        return False


# `make test` installs the data, so a person without it may skip and CI may not.
real = pytest.mark.skipif(
    not data_is_installed() and "CI" not in os.environ, reason="the packages with the real data are not installed"
)


def run(*arguments: str, cwd: Path = ROOT) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


EXPECTED = {
    "swap_and_undo.py": "bit-equal after the undo: True",
    "swap_some_layers.py": "left alone: cls.predictions.transform.transform_act_fn: outside where",
    "compare_two_runs.py": "relu: ",
}


def test_every_example_has_an_expectation():
    assert {path.name for path in EXAMPLES} == set(EXPECTED)


@pytest.mark.slow
@pytest.mark.parametrize("path", [p for p in EXAMPLES if p.name not in NEEDS_DATA], ids=lambda path: path.name)
def test_example(path):
    assert EXPECTED[path.name] in run(str(path))


@real
@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("path", [p for p in EXAMPLES if p.name in NEEDS_DATA], ids=lambda path: path.name)
def test_example_on_real_data(path):
    assert EXPECTED[path.name] in run(str(path))


def test_python_blocks_of_the_readme():
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    assert blocks
    exec(compile("\n".join(blocks), "README.md", "exec"), {})
