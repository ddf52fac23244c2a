"""docs/performance.md, from the results in benchmarks/results/. Every word about a number follows from the number."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from . import elementwise_section, gpu_section, linear_section, memory_section, models_section
from .markdown import Json

Section = Callable[[Json], tuple[str, list[str]]]  # the results -> Markdown, and the verdict of every bar

# file -> (title, command, writer)
SECTIONS: dict[str, tuple[str, str, Section]] = {
    "cpu_elementwise.json": ("Elementwise", "python benchmarks/cpu_elementwise.py", elementwise_section.write),
    "cpu_linear.json": ("Linear and GELU", "python benchmarks/cpu_linear.py", linear_section.write),
    "cpu_models.json": ("Whole models", "python benchmarks/cpu_models.py", models_section.write),
    "cpu_memory.json": ("Memory of training", "python benchmarks/cpu_memory.py", memory_section.write),
    "gpu.json": ("On an NVIDIA GPU", "python benchmarks/gpu.py", gpu_section.write),
}

HEAD = """# Speed and memory

Written by `benchmarks/tables.py` from the JSON in `benchmarks/results/`, which holds every sample; `make bench`
measures all of it.

How to read it. Arms of one table ran interleaved in one process, in an order drawn anew in every round. A ratio
is the median, over the rounds, of the time of one arm over that of another in the same round, with the bootstrap's 95 %
interval of that median in brackets; what follows in parentheses is the ratio of the fastest rounds. One thread is timed
by its CPU time, two threads by the wall clock. The A/A control is an arm that ran twice in each round: its ratio to
itself. A gain is claimed, and a bar counts as reached or missed, only where the whole interval lies beyond 1, or the
bar, and the ratio is farther from it than the interval of the control reaches from 1; the rest is undecided. "Not
slower" allows 2 %."""


def page(results: Path) -> str:
    """Return the page for the results in a folder; a file that is not there is said to be not measured."""
    parts, verdicts = [], Counter[str]()
    for file, (title, command, write) in SECTIONS.items():
        text = "Not measured."
        if (results / file).exists():
            text, found = write(json.loads((results / file).read_text(encoding="utf-8")))
            verdicts.update(verdict.split(":")[0].strip("*").lower() for verdict in found)
        parts.append(f"## {title}\n\n`{command}`\n\n{text}")
    counted = ", ".join(f"{verdict} {number}" for verdict, number in sorted(verdicts.items()))
    summary = f"Bars in all: {counted or 'none measured'}."
    return "\n\n".join([HEAD, summary, *parts]) + "\n"
