"""docs/status.md: every goal, what was found, by which command or test, and whether it was reached."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ...speed_lib.markdown import table
from . import fine_tuning, house, kernels, package, patching, verdict
from .goals import Row

HEAD = """# Status

Every goal of the project so far. Written by `benchmarks/tables.py`: figures come from `benchmarks/results/` and from
the reports of the [gallery](gallery/README.md); a goal about behaviour names tests that hold it, which `make test`
runs. Where there is a floor and a goal, the floor counts as reached. A result file that is not there is "not
measured"."""

AREAS: tuple[tuple[str, Callable[[Path], list[Row]]], ...] = (
    ("Finding and replacing", patching.rows),
    ("CPU kernels", kernels.on_cpu),
    ("The verdict", verdict.rows),
    ("Fine-tuning", fine_tuning.rows),
    ("NVIDIA GPUs", kernels.on_gpu),
    ("The package", package.rows),
    ("The house", house.rows),
)


def status_page(results: Path) -> str:
    """Return the page for the results in a folder."""
    counted, parts = Counter[str](), []
    for title, make in AREAS:
        rows = make(results)
        counted.update(row.reached.strip("*") for row in rows)
        cells = [(row.goal, row.found, row.by, row.reached) for row in rows]
        parts.append(f"## {title}\n\n{table(('goal', 'found', 'by', 'reached'), cells)}")
    summary = "In all: " + ", ".join(f"{state} {number}" for state, number in counted.most_common()) + "."
    return "\n\n".join([HEAD, summary, *parts]) + "\n"
