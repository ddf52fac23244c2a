"""The part of the page about memory, from cpu_memory.json: whatever groups of arms in bytes it holds, at any depth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .bars import MEMORY_BARS
from .markdown import Json, measured, table
from .names import OURS, STOCK


def write(result: Json) -> tuple[str, list[str]]:
    rows, verdicts = [], []
    for path, arms in groups(result):
        for arm, size in arms.items():
            change = size / arms[STOCK] - 1
            verdict = verdict_of(path, change) if arm == OURS else ""
            verdicts += [verdict] if verdict else []
            rows.append((path, arm, f"{size / 2**20:.1f} MiB", "" if arm == STOCK else f"{change:+.1%}", verdict))
    where = measured([result]) if "environment" in result else ""
    return f"{where}\n\n{table(('what', 'arm', 'bytes', 'change', 'bar'), rows)}".strip(), verdicts


def groups(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, float]]]:
    """Yield every mapping of arms to bytes, among them stock, with the words that lead to it."""
    if not isinstance(node, dict):
        return
    if isinstance(node.get(STOCK), int) and all(isinstance(size, int) for size in node.values()):
        yield path, node
    for name, value in node.items():
        yield from groups(value, f"{path} {name}".strip())


def verdict_of(path: str, change: float) -> str:
    """Return the verdict of the bar about this measurement, or nothing when there is none."""
    plain = path.lower().replace("-", "").replace("_", " ")
    for words, most in MEMORY_BARS:
        if all(word in plain for word in words):
            return f"{'reached' if change <= most else '**MISSED**'}: {most:+.0%}"
    return ""
