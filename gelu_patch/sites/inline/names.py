"""What the names and attributes in the code of a method stand for."""

from __future__ import annotations

import ast
import types
from typing import Any

import torch

from gelu_patch.sites.inline.methods import Method, nested_codes


class Names:
    """What the names in a method stand for: globals and closure cells, but no local variables."""

    def __init__(self, method: Method) -> None:
        function = method.function
        codes = list(nested_codes(function.__code__))
        self.self_name = method.self_name
        self._locals = {name for code in codes for name in (*code.co_varnames, *code.co_cellvars)}
        self.globals = function.__globals__
        self._cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))

    def resolve(self, node: ast.expr) -> Any:
        """Return the object that a name or dotted name stands for, or None. No attribute of an object is read."""
        if isinstance(node, ast.Name):
            if node.id in self._locals:
                return None
            if node.id in self._cells:
                return self._cells[node.id].cell_contents
            return self.globals.get(node.id)
        if isinstance(node, ast.Attribute):
            owner = self.resolve(node.value)
            return getattr(owner, node.attr, None) if isinstance(owner, types.ModuleType) else None
        return None

    def of_self(self, node: ast.expr) -> tuple[str, ...] | None:
        """Return ``("config", "hidden_act")`` for ``self.config.hidden_act``; None for anything else."""
        path: list[str] = []
        while isinstance(node, ast.Attribute):
            path.append(node.attr)
            node = node.value
        is_self = isinstance(node, ast.Name) and node.id == self.self_name and path
        return tuple(reversed(path)) if is_self else None

    def is_variable(self, node: ast.expr) -> bool:
        """Tell whether the node is a local variable other than the module."""
        return isinstance(node, ast.Name) and node.id in self._locals and node.id != self.self_name


def read(module: torch.nn.Module, path: tuple[str, ...]) -> Any:
    """Return a plain value that is reached by attributes of a module, or None."""
    value: Any = module
    for attribute in path:
        value = getattr(value, attribute, None)
    return value if isinstance(value, str | int | float | bool) else None
