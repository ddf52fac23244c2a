"""Mutation score of the packages whose mistakes are the most expensive, by mutmut with the tests that mirror them.

Writes benchmarks/results/mutation.json; a package that is not run keeps what it has:

    python benchmarks/mutants.py                                    # all mutants of all packages (hours)
    python benchmarks/mutants.py --package stats --sample 200       # a random sample, which --seed determines
    python benchmarks/mutants.py --again                            # the survivors of these samples, tested once more

mutmut forks one process for each mutant from one that has imported everything, and runs the tests that reach it. Its
settings are in pyproject.toml. Texts of errors (`raise` statements) are not mutated, nor are properties and other
decorated functions, which mutmut leaves alone. Once tests were written for the survivors of a sample, it flatters: draw
another one with --seed. `--again` leaves the score alone and notes which survivors are killed or explained by now.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # not this folder: its coverage.py would hide the library of that name


from benchmarks.mutants_lib import PACKAGES  # noqa: E402
from benchmarks.mutants_lib.again import same_changes, with_fates  # noqa: E402
from benchmarks.mutants_lib.outcomes import (  # noqa: E402
    NOTICED,
    SURVIVED,
    change_of,
    outcomes,
    read_equivalents,
    summary,
)
from benchmarks.mutants_lib.sampling import mutants_of, sample  # noqa: E402
from gelu_patch.environment import fingerprint, git_commit  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "mutation.json"
EQUIVALENTS = ROOT / "benchmarks" / "mutants_lib" / "equivalents.toml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", action="append", choices=PACKAGES, help="only this one; may be repeated")
    parser.add_argument("--sample", type=int, help="so many mutants of each package, drawn at random; default: all")
    parser.add_argument("--seed", type=int, default=0, help="of the drawing")
    parser.add_argument("--processes", type=int, default=1, help="how many mutants are tested at once")
    parser.add_argument("--noted", action="store_true", help="run nothing: read what mutmut noted the last time")
    parser.add_argument("--again", action="store_true", help="the survivors that the results have, with today's tests")
    parser.add_argument("--results", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    os.chdir(ROOT)  # where mutmut finds its configuration
    written: dict[str, Any] = {"packages": {}}
    if chosen.results.exists():
        written = json.loads(chosen.results.read_text(encoding="utf-8"))
    for package in chosen.package or PACKAGES:
        result = written["packages"][package] if chosen.again else run(package, chosen)
        fates = again(result, package, chosen.processes) if chosen.again else as_found(result)
        written["packages"][package] = with_fates(result, fates, read_equivalents(EQUIVALENTS))
        written |= {"tool": "mutmut", "version": importlib.metadata.version("mutmut"), "environment": fingerprint()}
        chosen.results.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
        found = written["packages"][package]
        print(
            f"{package}: {found['score']:.1%} of {found['mutants']} mutants noticed, {found['left']} left", flush=True
        )


def run(package: str, chosen: argparse.Namespace) -> dict[str, Any]:
    """Run the mutants of one package; return what became of them."""
    every = mutants_of(package)
    drawn = sample(every, chosen.sample, chosen.seed)
    for names in [] if chosen.noted else drawn.values():
        mutmut(names, chosen.processes)
    by_file = {file: outcomes(ROOT, file, names) for file, names in drawn.items()}
    changes = {
        name: change_of(name, file)
        for file, states in by_file.items()
        for name, state in states.items()
        if state not in NOTICED
    }
    return {
        "commit": git_commit(),
        "all_mutants": sum(map(len, every.values())),
        "sample": chosen.sample,
        "seed": None if chosen.sample is None else chosen.seed,
    } | summary(by_file, changes)


def as_found(result: dict[str, Any]) -> dict[str, str]:
    """Return the fates of survivors that were not tried again."""
    return {survivor["mutant"]: SURVIVED for survivor in result["survivors"]}


def again(result: dict[str, Any], package: str, processes: int) -> dict[str, str]:
    """Run the survivors of a package once more; return what became of them."""
    every = mutants_of(package)
    mutmut(next(iter(every.values()))[:1], 1)  # before it tests any, it writes the mutants of today
    names = same_changes(result["survivors"], every, change_of)
    if names:
        mutmut(list(names.values()), processes)
    of_file = {survivor["mutant"]: survivor["file"] for survivor in result["survivors"]}
    return {old: outcomes(ROOT, of_file[old], [new])[new] for old, new in names.items()}


def mutmut(names: list[str], processes: int) -> None:
    """Test these mutants; mutmut notes the outcomes in mutants/. One thread each: the forks share the cores."""
    command = [sys.executable, "-m", "mutmut", "run", "--max-children", str(processes), *names]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        said = "\n".join(line for line in done.stdout.splitlines() if "Running" not in line)  # what spins
        sys.exit(f"mutmut could not run {names[0]} ...:\n{said[-4000:]}\n{done.stderr[-4000:]}")


if __name__ == "__main__":
    main()
