"""The goals of the package: building, installing, types, licences."""

from __future__ import annotations

import statistics
from pathlib import Path

from ...package_lib.licences import UNKNOWN, is_copyleft
from ...speed_lib.markdown import Json
from .goals import Row, held_by, measured

COMMAND = "python benchmarks/package.py"
FREE_IMPORT = 0.1  # s: what `import gelu_patch` may add


def rows(results: Path) -> list[Row]:
    """Return the rows."""
    file = results / "package.json"
    return [
        measured(
            "`python -m build`: a wheel with py.typed, templates, licence and an abi3 extension, an sdist with all "
            "that was committed; the README renders",
            file, COMMAND, lambda found: _built(found["pieces"]["artifacts"]["result"]),
        ),
        measured(
            "wheel and sdist install in an empty environment, with and without a compiler, and work there",
            file, COMMAND, lambda found: _installed(found["pieces"]["installs"]["result"]),
        ),
        measured(
            "a user's script passes strict type checking against the installed wheel",
            file, COMMAND, lambda found: _typed(found["pieces"]["types"]["result"]),
        ),
        held_by("that script runs", "tests/packaging/test_user_script.py"),
        measured(
            "import times, sizes, dependency closure of the core and of each extra",
            file, COMMAND, lambda found: _costs(found["pieces"]),
        ),
        measured(
            "licences of all dependencies are listed ([page](dependencies.md))",
            file, COMMAND, lambda found: _licences(found["pieces"]["closure"]["result"]),
        ),
        held_by(
            "version 0.1.0 stands in one place and has its CHANGELOG entry; every requirement has a lowest version "
            "and a pin",
            "tests/packaging/test_project.py",
        ),
    ]  # fmt: skip


def _built(found: Json) -> tuple[str, bool]:
    problems = [problem for each in found["checks"].values() for problem in each]
    sizes = ", ".join(f"{kind} {file['bytes']:,} bytes" for kind, file in found["files"].items())
    return (f"{sizes}; {len(found['checks'])} checks passed" if not problems else "; ".join(problems)), not problems


def _installed(ways: Json) -> tuple[str, bool]:
    checks = [(way, name, check) for way, found in ways.items() for name, check in found["checks"].items()]
    failed = [f"{way}: {name}: {check['found']}" for way, name, check in checks if not check["passed"]]
    text = f"{', '.join(ways)}: {len(checks) // len(ways)} checks each, all passed"
    return ("; ".join(failed) or text), not failed


def _typed(found: Json) -> tuple[str, bool]:
    counts = {name: len(checker["complaints"]) for name, checker in found["checkers"].items()}
    return ", ".join(f"{name}: {count} complaints" for name, count in counts.items()), not any(counts.values())


def _costs(pieces: Json) -> tuple[str, bool]:
    medians = {name: statistics.median(values) for name, values in pieces["imports"]["result"]["samples"].items()}
    importing = next(value for name, value in medians.items() if name.startswith("`import gelu_patch`"))
    helping = medians["`gelu-patch --help`"]
    core = len(pieces["closure"]["result"]["closures"]["core"])
    text = f"`import gelu_patch` {importing * 1e3:.0f} ms (bar: below {FREE_IMPORT * 1e3:.0f}), `--help` "
    return f"{text}{helping * 1e3:.0f} ms; {core} distributions with the core", importing < FREE_IMPORT


def _licences(found: Json) -> tuple[str, bool | str]:
    licences = [each["licence"] for each in found["distributions"].values()]
    unknown = licences.count(UNKNOWN)
    flagged = sum(map(is_copyleft, licences))
    return f"{len(licences)} distributions, {flagged} of them copyleft, {unknown} that do not state one", not unknown
