"""Small pieces of Markdown that all pages share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Json = dict[str, Any]


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(header), ["---"] * len(list(header)), *map(list, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machine(environment: Json) -> str:
    versions = environment["packages"]
    return (
        f"{environment['cpu']}, {environment['cores']} cores, Python {environment['python']}, "
        f"torch {versions['torch']}, transformers {versions['transformers']}"
    )


def measured(results: Iterable[Json]) -> str:
    """Say where and when all ``results`` were measured: one line for each machine and commit."""
    groups: dict[str, list[float]] = {}
    for result in results:
        environment = result["environment"]
        features = f", {environment['cpu_capability']}" if "cpu_capability" in environment else ""
        where = f"Measured at {result['git']} on {machine(environment)}{features}"
        groups.setdefault(where, []).append(environment["loadavg"][0])
    return "\n".join(f"{where}; load average {max(loads):.1f} at most." for where, loads in groups.items())
