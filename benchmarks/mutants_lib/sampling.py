"""All mutants of a package, and a random sample of them that a seed determines."""

from __future__ import annotations

import hashlib
from pathlib import Path

from mutmut.configuration import config
from mutmut.mutation.file_mutation import mutate_file_contents
from mutmut.utils.file_utils import walk_source_files
from mutmut.utils.format_utils import get_mutant_name


def mutants_of(package: str) -> dict[str, list[str]]:
    """Return the names of all mutants by source file, of ``gelu_patch/<package>/``, in order.

    To be called in the root of the repository, where mutmut finds its configuration. Nothing is written or run.
    """
    files = sorted(path for path in walk_source_files() if path.parts[:2] == ("gelu_patch", package))
    found = {str(path): _mutants_in(path) for path in files if config().should_mutate(path)}
    return {file: names for file, names in found.items() if names}


def _mutants_in(path: Path) -> list[str]:
    mutated = mutate_file_contents(str(path), path.read_text(encoding="utf-8"))
    return [get_mutant_name(path, name) for name in mutated.mutant_names]


def sample(by_file: dict[str, list[str]], size: int | None, seed: int) -> dict[str, list[str]]:
    """Return ``size`` mutants of all files together, drawn at random; all of them when ``size`` is None.

    Those with the smallest hashes of seed and name are drawn: a larger sample contains a smaller one, and a change in
    one file leaves most of the sample as it was.
    """
    if size is None:
        return by_file
    every = [name for names in by_file.values() for name in names]
    drawn = set(sorted(every, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())[:size])
    kept = {file: [name for name in names if name in drawn] for file, names in by_file.items()}
    return {file: names for file, names in kept.items() if names}
