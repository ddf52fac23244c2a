"""docs/overhead.md: how large the package is, how long its first moments take, and where it was installed."""

from __future__ import annotations

import statistics
from pathlib import Path

from ..speed_lib.markdown import Json, machine, table
from ..speed_lib.store import load


def package_table(results: Path) -> str:
    pieces = load(results / "package.json")
    parts = {"artifacts": _sizes, "imports": _times, "installs": _installs}
    return "\n\n".join(make(pieces[name]) for name, make in parts.items() if name in pieces)


def _sizes(piece: Json) -> str:
    rows = [
        (kind, f"`{found['name']}`", f"{found['bytes']:,}", str(found["files"]))
        for kind, found in piece["result"]["files"].items()
    ]
    return table(("built", "file", "bytes", "files in it"), rows)


def _times(piece: Json) -> str:
    rows = [
        (name, f"{statistics.median(values) * 1e3:.1f} ms", f"{max(values) * 1e3:.1f} ms", str(len(values)))
        for name, values in piece["result"]["samples"].items()
    ]
    load_average = piece["environment"]["loadavg"][0]
    where = f"at {piece['git']} on {machine(piece['environment'])}; load average {load_average:.1f}"
    what = "Processor time, each sample a fresh process with its files in the cache"
    text = f"{what}; `benchmarks/package.py --only imports` {where}."
    return f"{table(('first moments', 'median', 'worst', 'samples'), rows)}\n\n{text}"


def _installs(piece: Json) -> str:
    ways = piece["result"]
    names = list(next(iter(ways.values()))["checks"])
    rows = [[name, *(_cell(way["checks"][name]) for way in ways.values())] for name in names]
    text = f"Each in an empty environment, by `benchmarks/package.py --only installs` at {piece['git']}."
    return f"{table(('installed from', *ways), rows)}\n\n{text}"


def _cell(check: Json) -> str:
    return check["found"] if check["passed"] else f"**FAILED**: {check['found']}"
