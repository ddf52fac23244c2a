"""What a row of docs/status.md is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...speed_lib.markdown import Json

ROOT = Path(__file__).parents[3]
YES, NO, PARTLY, OPEN = "yes", "**no**", "**partly**", "not measured"


@dataclass(frozen=True)
class Row:
    """One goal: what was asked, what was found, by which command or test, and whether that reaches it."""

    goal: str
    found: str
    by: str
    reached: str

    def __post_init__(self) -> None:
        assert all((self.goal, self.found, self.by, self.reached)), f"an empty cell: {self}"


def held_by(goal: str, *tests: str) -> Row:
    """Return the row of a goal that tests hold. They must exist: a path, or path::function."""
    for test in tests:
        path, _, name = test.partition("::")
        assert (ROOT / path).exists(), f"no such test: {test}"
        assert not name or f"def {name}(" in (ROOT / path).read_text(encoding="utf-8"), f"no such test: {test}"
    return Row(goal, "held by tests", ", ".join(f"`{test}`" for test in tests), YES)


def measured(goal: str, file: Path, by: str, judge: Callable[[Json], tuple[str, bool | str]]) -> Row:
    """Return the row of a goal that a result file decides: ``judge`` says what was found, and whether it is enough."""
    if not file.exists():
        return Row(goal, f"there is no `{file.name}` yet", f"`{by}`", OPEN)
    found, reached = judge(json.loads(file.read_text(encoding="utf-8")))
    if isinstance(reached, bool):
        reached = YES if reached else NO
    return Row(goal, found, f"`{by}`", reached)
