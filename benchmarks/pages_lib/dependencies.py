"""docs/dependencies.md: what an installation brings along, how large it is, and under which licences."""

from __future__ import annotations

from pathlib import Path

from ..package_lib.licences import UNKNOWN, is_copyleft
from ..speed_lib.markdown import Json, machine, table
from ..speed_lib.store import load

CORE = "core"

HEAD = """# Dependencies and their licences

Written by `benchmarks/tables.py` from what `benchmarks/package.py --only closure` found: pip resolved the core and
every extra for an empty environment under `constraints.txt`. gelu-patch itself is Apache-2.0."""

COPYLEFT = """## Copyleft

Used as they are, by importing or running them; no file of theirs is in this package. The licences of the Mozilla kind
(MPL) bind changes to their own files; those of the GNU kind (LGPL) also ask that a user can replace the library."""


def dependencies_page(results: Path) -> str:
    """Return the page for the results in a folder."""
    piece = load(results / "package.json")["closure"]
    closures, distributions = piece["result"]["closures"], piece["result"]["distributions"]
    parts = [
        HEAD,
        _closures(closures, distributions),
        _sizes_explained(piece, distributions),
        COPYLEFT,
        table(("distribution", "licence", "comes with"), _flagged(closures, distributions)),
        "## All of them",
        table(("distribution", "version", "licence", "MiB", "comes with"), _all(closures, distributions)),
    ]
    return "\n\n".join(parts) + "\n"


def _closures(closures: Json, distributions: Json) -> str:
    core = set(closures[CORE])
    rows = []
    for extra, names in closures.items():
        more = [name for name in names if name not in core]
        what = "`pip install gelu-patch`" if extra == CORE else f"`gelu-patch[{extra}]`"
        total, added = (sum(distributions[name]["bytes"] for name in group) for group in (names, more))
        largest = sorted(more or names, key=lambda name: -distributions[name]["bytes"])[:3]
        shown = ", ".join(f"{name} {_mib(distributions[name])}" for name in largest)
        beyond = "-" if extra == CORE else f"{len(more)}, {added / 2**20:,.0f} MiB"
        rows.append((what, str(len(names)), f"{total / 2**20:,.0f}", beyond, shown))
    return table(("installed", "distributions", "MiB", "beyond the core", "the largest of these (MiB)"), rows)


def _sizes_explained(piece: Json, distributions: Json) -> str:
    torch, where = distributions["torch"]["version"], machine(piece["environment"])
    return (
        f"Sizes are those of the installed files without bytecode, at {piece['git']} on {where}. "
        f"torch is {torch} here; where the index gives the build for CUDA, it brings NVIDIA's libraries "
        "along, under licences of their own, which are not counted here."
    )


def _flagged(closures: Json, distributions: Json) -> list[tuple[str, str, str]]:
    return [
        (name, found["licence"], _with(closures, name))
        for name, found in distributions.items()
        if is_copyleft(found["licence"]) or found["licence"] == UNKNOWN
    ]


def _all(closures: Json, distributions: Json) -> list[tuple[str, ...]]:
    return [
        (name, found["version"], found["licence"], _mib(found), _with(closures, name))
        for name, found in distributions.items()
    ]


def _with(closures: Json, name: str) -> str:
    """The core, or the extras that bring it."""
    extras = [extra for extra, names in closures.items() if name in names]
    return CORE if CORE in extras else ", ".join(extras)


def _mib(found: Json) -> str:
    return f"{found['bytes'] / 2**20:,.1f}"
