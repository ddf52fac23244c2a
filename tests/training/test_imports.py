"""Training costs no accelerate at import, and its recipe and log, which the command line reads, no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"accelerate", "transformers", "peft", "datasets", "evaluate"}


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        ("gelu_patch.training.loop, gelu_patch.training.optimizer", HEAVY),
        ("gelu_patch.training.recipe, gelu_patch.training.log", {*HEAVY, "torch"}),
    ],
)
def test_nothing_heavy_is_imported(modules: str, heavy: set[str]) -> None:
    code = f"import sys, {modules}; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
