"""The goals of the package: building, installing, types, licences."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path

from ...package_lib.licences import UNKNOWN, is_copyleft
from ...speed_lib.markdown import Json
from .goals import OPEN, Row, held_by, measured

COMMAND = "python benchmarks/package.py"
FREE_IMPORT = 0.1  # s: what `import gelu_patch` may add


def rows(results: Path) -> list[Row]:
    """Return the rows."""
    file = results / "package.json"
    return [
        _piece(
            file, "artifacts", _built,
            "`python -m build`: a wheel with py.typed, templates, licence and an abi3 extension, an sdist with all "
            "that was committed; the README renders",
        ),
        _piece(
            file, "installs", _installed,
            "wheel and sdist install in an empty environment, with and without a compiler, and work there",
        ),
        _piece(file, "types", _typed, "a user's script passes strict type checking against the installed wheel"),
        held_by("that script runs", "tests/packaging/test_user_script.py"),
        _piece(
            file, "imports", _imported,
            f"`import gelu_patch` takes less than {FREE_IMPORT * 1e3:.0f} ms of the processor",
        ),
        _piece(
            file, "closure", _licences,
            "the dependencies of the core and of each extra are listed with sizes and licences "
            "([page](dependencies.md))",
        ),
        held_by(
            "version 0.1.0 stands in one place and has its CHANGELOG entry; every requirement has a lowest version "
            "and a pin",
            "tests/packaging/test_project.py",
        ),
    ]  # fmt: skip


def _piece(file: Path, name: str, judge: Callable[[Json], tuple[str, bool | str]], goal: str) -> Row:
    """Return the row of a goal that one piece of the results decides."""

    def of_piece(found: Json) -> tuple[str, bool | str]:
        piece = found["pieces"].get(name)
        return judge(piece["result"]) if piece else (f"`{file.name}` has no {name} yet", OPEN)

    return measured(goal, file, f"{COMMAND} --only {name}", of_piece)


def _built(found: Json) -> tuple[str, bool]:
    problems = [problem for each in found["checks"].values() for problem in each]
    sizes = ", ".join(f"{kind} {file['bytes']:,} bytes" for kind, file in found["files"].items())
    return (f"{sizes}; {len(found['checks'])} checks passed" if not problems else "; ".join(problems)), not problems


def _installed(ways: Json) -> tuple[str, bool]:
    checks = [(way, name, check) for way, found in ways.items() for name, check in found["checks"].items()]
    failed = [f"{way}: {name}: {check['found']}" for way, name, check in checks if not check["passed"]]
    text = f"{'; '.join(ways)}: {len(checks) // len(ways)} checks each, all passed"
    return ("; ".join(failed) or text), not failed


def _typed(found: Json) -> tuple[str, bool]:
    counts = {name: len(checker["complaints"]) for name, checker in found["checkers"].items()}
    return ", ".join(f"{name}: {count} complaints" for name, count in counts.items()), not any(counts.values())


def _imported(found: Json) -> tuple[str, bool]:
    medians = {name: statistics.median(values) for name, values in found["samples"].items()}
    alone = next(seconds for name, seconds in medians.items() if name.startswith("`import gelu_patch`"))
    shown = ", ".join(f"{name} {medians[name] * 1e3:.0f} ms" for name in medians if "--help" in name)
    return f"{alone * 1e3:.0f} ms; {shown}", alone < FREE_IMPORT


def _licences(found: Json) -> tuple[str, bool | str]:
    licences = [each["licence"] for each in found["distributions"].values()]
    unknown = licences.count(UNKNOWN)
    flagged = sum(map(is_copyleft, licences))
    core = len(found["closures"]["core"])
    return (
        f"{core} with the core, {len(licences)} in all, {flagged} of them copyleft, {unknown} that do not state one",
        not unknown,
    )
