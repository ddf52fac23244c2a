"""Swap the GELU activations of a Transformers model, undo it exactly, and measure whether the swap may ship.

``import gelu_patch`` imports neither torch nor transformers: the public names, which ``__init__.pyi`` lists, are
imported when they are first used.
"""

import ast
from importlib import import_module
from pathlib import Path
from typing import Any

_stub = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
_homes = {
    alias.name: node.module
    for node in _stub.body
    if isinstance(node, ast.ImportFrom) and node.module
    for alias in node.names
}
__all__ = tuple(_homes)


def __getattr__(name: str) -> Any:
    if name not in _homes:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_homes[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_homes})
