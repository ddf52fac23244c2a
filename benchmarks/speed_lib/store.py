"""Results in pieces: a piece that is measured again replaces its piece, the others stay."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

Json = dict[str, Any]


def load(path: Path) -> Json:
    """Return the pieces by key, in the order of the file; none when there is no file."""
    return json.loads(path.read_text(encoding="utf-8"))["pieces"] if path.exists() else {}


def keep(path: Path, key: str, piece: Json, order: Iterable[str]) -> None:
    """Write ``piece`` among those of ``path``, sorted as in ``order``; unknown ones last."""
    rank = {name: number for number, name in enumerate(order)}
    pieces = load(path) | {key: piece}
    ordered = {name: pieces[name] for name in sorted(pieces, key=lambda name: rank.get(name, len(rank)))}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps({"unit": "s", "pieces": ordered}, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, path)


def chosen(keys: Iterable[str], patterns: list[str]) -> list[str]:
    """Return the keys that one of the patterns (globs; ``gpt2:float32`` is all that begins so) matches, or all."""
    return [key for key in keys if not patterns or any(fnmatch(f"{key}:", f"{one.rstrip(':')}:*") for one in patterns)]
