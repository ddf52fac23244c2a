"""What became of the survivors of a sample, with tests that were written since; the score stays what it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .outcomes import KILLED, NOTICED, Equivalent

EXPLAINED, GONE = "explained", "gone"  # gone: the code is another one now
Found = dict[str, Any]


def same_changes(
    survivors: Sequence[Found], names: dict[str, list[str]], change_of: Callable[[str, str], tuple[str, ...]]
) -> dict[str, str]:
    """Return the name that each survivor has now, by its name in the sample; without those that are gone.

    ``names`` are the mutants of today by file. The number of a mutant changes with the code around it; what it changes
    in which function does not.
    """
    found = {}
    for survivor in survivors:
        function, file = _function(survivor["mutant"]), survivor["file"]
        for name in names.get(file, []):
            if _function(name) == function and change_of(name, file) == tuple(survivor["change"]):
                found[survivor["mutant"]] = name
                break
    return found


def with_fates(package: Found, fates: dict[str, str], equivalents: Sequence[Equivalent]) -> Found:
    """Return the result of a package with what became of each survivor: "killed", "explained", "gone", or its state.

    ``fates`` are the states that mutmut noted, by the name in the sample; ``left`` counts what is none of the three.
    """
    known = {(row.file, row.change): row.why for row in equivalents}
    survivors = []
    for survivor in package["survivors"]:
        explained = known.get((survivor["file"], tuple(survivor["change"])))
        state = fates.get(survivor["mutant"], GONE)
        now = EXPLAINED if explained else KILLED if state in NOTICED else state
        survivors.append(survivor | {"explained": explained, "now": now})
    left = sum(survivor["now"] not in (EXPLAINED, KILLED, GONE) for survivor in survivors)
    return package | {"survivors": survivors, "left": left}


def _function(mutant: str) -> str:
    return mutant.rpartition("__mutmut_")[0]
