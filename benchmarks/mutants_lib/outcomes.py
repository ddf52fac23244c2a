"""What became of mutants: counted by file, and the survivors with their change and, where there is one, the reason."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code

KILLED, SURVIVED, TIMEOUT = "killed", "survived", "timeout"
# A mutant that runs forever, or that crashes the interpreter, would be noticed too.
NOTICED = (KILLED, TIMEOUT, "segfault")


@dataclass(frozen=True)
class Equivalent:
    """A change that no test can or should notice, and why; ``change`` are the lines of its diff."""

    file: str
    change: tuple[str, ...]
    why: str


def read_equivalents(path: Path) -> list[Equivalent]:
    """Return the explained survivors."""
    rows = tomllib.loads(path.read_text(encoding="utf-8")).get("equivalent", [])
    return [Equivalent(row["file"], tuple(line.strip() for line in row["change"]), row["why"]) for row in rows]


def outcomes(root: Path, file: str, names: list[str]) -> dict[str, str]:
    """Return the state of each mutant of a file, as mutmut noted it below ``root/mutants``."""
    noted = json.loads((root / "mutants" / f"{file}.meta").read_text(encoding="utf-8"))["exit_code_by_key"]
    return {name: status_by_exit_code[noted[name]] for name in names}


def change_of(name: str, file: str) -> tuple[str, ...]:
    """Return the changed lines of a mutant, without indentation: ``- before`` and ``+ after``."""
    lines = get_diff_for_mutant(name, path=file).splitlines()
    changed = [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    return tuple(f"{line[0]} {line[1:].strip()}" for line in changed)


def summary(by_file: dict[str, dict[str, str]], changes: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    """Return counts by file and in all, the score (noticed / all that were run) and every survivor with its change."""
    survivors = [
        {"mutant": name, "file": file, "change": list(changes[name])}
        for file, states in by_file.items()
        for name, state in states.items()
        if name in changes
    ]
    counts = {file: dict(Counter(states.values())) for file, states in by_file.items()}
    total = Counter(state for states in by_file.values() for state in states.values())
    noticed = sum(total[state] for state in NOTICED)
    return {
        "mutants": sum(total.values()),
        "noticed": noticed,
        "score": round(noticed / max(1, sum(total.values())), 4),
        "states": dict(total),
        "files": counts,
        "survivors": survivors,
    }
