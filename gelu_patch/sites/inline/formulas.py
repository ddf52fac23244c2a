"""GELU written as a formula: elementwise arithmetic of one variable, run once on a small tensor of our own."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from gelu_patch.activations.recognise import Recognition, recognise
from gelu_patch.sites.inline.found import NOT_GELU, Found
from gelu_patch.sites.inline.methods import Edit, Span
from gelu_patch.sites.inline.names import Names, read

# The functions from which people write GELU by hand.
PARTS = frozenset({"erf", "tanh", "sigmoid"})


@dataclass
class _Formula:
    """An expression of one variable, whose other parts are constants or plain attributes of the module."""

    names: Names
    variables: set[str] = field(default_factory=set)
    attributes: list[tuple[str, ...]] = field(default_factory=list)

    def takes(self, node: ast.expr) -> bool:
        """Tell whether the node is elementwise arithmetic, and note what it reads."""
        path = self.names.of_self(node)
        if path is not None:
            self.attributes.append(path)
            return True
        if self.names.is_variable(node):
            assert isinstance(node, ast.Name)
            self.variables.add(node.id)
            return True
        match node:
            case ast.Constant(value=int() | float() | bool() | str()):
                return True
            case ast.BinOp(left=left, right=right):
                return self.takes(left) and self.takes(right)
            case ast.UnaryOp(operand=operand):
                return self.takes(operand)
            case ast.Call(func=func, args=args, keywords=keywords):
                values = [*args, *(keyword.value for keyword in keywords)]
                return self._is_arithmetic(func) and all(self.takes(value) for value in values)
            case ast.Attribute() | ast.Name():
                return isinstance(self.names.resolve(node), int | float)
            case _:
                return False

    def _is_arithmetic(self, function: ast.expr) -> bool:
        known = self.names.resolve(function)
        if known is not None:
            return (getattr(known, "__module__", None) or "").split(".")[0] in {"torch", "math", "builtins"} or (
                getattr(torch, getattr(known, "__name__", ""), None) is known
            )
        if not isinstance(function, ast.Attribute):
            return False
        # A method of a tensor; one that writes into it ends in an underscore.
        is_method = hasattr(torch.Tensor, function.attr) and not function.attr.endswith("_")
        return is_method and self.takes(function.value)


def find_formula(node: ast.BinOp, names: Names) -> Found | None:
    """``gate * torch.sigmoid(gate * self.alpha)`` and the erf and tanh forms."""
    if not _calls_a_part(node):
        return None
    formula = _Formula(names)
    if not formula.takes(node) or len(formula.variables) != 1:
        return None
    variable = next(iter(formula.variables))
    text = ast.unparse(node)
    return Found(
        label="formula",
        text=text,
        call=Span.of(node),
        inside=True,
        callee=f"(lambda {variable}: {text})",
        edits=(Edit(Span.of(node), f"{{replacement}}({variable})"),),
        activation_of=_evaluator(node, variable, formula),
        depends_on_module=bool(formula.attributes),
    )


def _evaluator(node: ast.BinOp, variable: str, formula: _Formula) -> Callable[[torch.nn.Module], Recognition]:
    paths = list(dict.fromkeys(formula.attributes))
    places = {path: f"_attribute_{number}" for number, path in enumerate(paths)}
    body = _Substitute(formula.names, places).visit(copy.deepcopy(node))
    source = f"lambda {', '.join([variable, *places.values()])}: {ast.unparse(body)}"
    function = eval(source, formula.names.globals)  # arithmetic only: `takes` has looked at every node
    known: dict[tuple[Any, ...], Recognition] = {}

    def activation_of(module: torch.nn.Module) -> Recognition:
        values = tuple(read(module, path) for path in paths)
        if None in values:
            return NOT_GELU
        if values not in known:
            known[values] = recognise(lambda x: function(x, *values))
        return known[values]

    return activation_of


class _Substitute(ast.NodeTransformer):
    def __init__(self, names: Names, places: Mapping[tuple[str, ...], str]) -> None:
        self._names, self._places = names, places

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        place = self._places.get(self._names.of_self(node) or ())
        if place is not None:
            return ast.Name(place, ast.Load())
        self.generic_visit(node)  # `self.scale.float()` reads self.scale
        return node


def _calls_a_part(node: ast.expr) -> bool:
    return any(
        isinstance(call, ast.Call) and getattr(call.func, "attr", getattr(call.func, "id", None)) in PARTS
        for call in ast.walk(node)
    )
