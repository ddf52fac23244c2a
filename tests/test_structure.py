"""The house rules that a machine can check."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "gelu_patch").rglob("*.py"))
FOLDERS = ("gelu_patch", "tests", "benchmarks", "examples", "tools")
EVERY_FILE = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def test_files_stay_small():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in EVERY_FILE}
    longest = max(lengths, key=lengths.get)
    assert lengths[longest] <= 350, f"{longest} has {lengths[longest]} lines: split it by meaning"
    assert statistics.median(lengths[path] for path in SOURCES) <= 130


def test_no_assert_guards_user_input_in_public_functions():
    """`assert` may state what the code knows; a user must get an error that says what to do."""
    for path in SOURCES:
        for line in path.read_text(encoding="utf-8").splitlines():
            assert not re.match(r"\s+assert .*,\s*f?[\"']", line), f"{path}: {line.strip()}"


def test_the_readme_names_every_verb_and_only_real_commands():
    from gelu_patch.cli.app import app

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text, flags=re.DOTALL))
    verbs = {command.name for command in app.registered_commands}
    assert set(re.findall(r"gelu-patch (\w+)", code)) == verbs


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no checkout: nothing can be committed")
def test_nothing_of_a_machine_is_committed():
    """Its folders are asked of the machine itself; an index or a wheel folder could only come from its pip."""
    folders = {str(path) for path in (ROOT, Path(sys.prefix), Path.home()) if len(path.parts) > 1}
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in set(listed.splitlines()) - {Path(__file__).relative_to(ROOT).as_posix()}:
        path = ROOT / name
        text = path.read_text(encoding="utf-8", errors="ignore") if path.is_file() else ""
        assert not [folder for folder in folders if f"{folder}/" in text], name
        assert not re.search(r"index-url|find-links|site-packages/\w", text), name
