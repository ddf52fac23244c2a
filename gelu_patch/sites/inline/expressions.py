"""Finding GELU in the code of a method: calls of functions and of global modules, look-ups in ACT2FN, formulas.

Nothing is run but what is recognised to be elementwise arithmetic, and that on a small tensor of our own.
"""

from __future__ import annotations

import ast
import copy
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from gelu_patch.activations.base import activations
from gelu_patch.activations.recognise import Recognition, looks_like_activation, recognise
from gelu_patch.sites.inline.methods import Edit, Method, Span, nested_codes

# The functions from which people write GELU by hand.
PARTS = frozenset({"erf", "tanh", "sigmoid"})
_NOT_GELU = Recognition(None, None, "no GELU")

Constants = tuple[Any, ...]


@dataclass(frozen=True)
class Found:
    """A piece of a method that computes an activation of one tensor.

    ``callee`` is source that evaluates to the function; ``edits`` make the method call ``{replacement}``
    instead of it. ``call`` is the span whose execution runs it; any code ``inside`` of it when it is a formula.
    ``activation_of`` takes the module, because a look-up or a formula may read its attributes.
    """

    label: str
    text: str
    call: Span
    inside: bool
    callee: str
    edits: tuple[Edit, ...]
    activation_of: Callable[[torch.nn.Module], Recognition]
    depends_on_module: bool = False


def may_hold_gelu(method: Method) -> bool:
    """Tell, from the names in the compiled code alone, whether the method is worth parsing."""
    return any(
        name in PARTS or looks_like_activation(name) or name == "ACT2FN"
        for code in nested_codes(method.function.__code__)
        for name in code.co_names
    )


def find(tree: ast.FunctionDef, method: Method) -> Iterator[Found]:
    """Yield what may be a GELU in a method, in the order of the source."""
    search = _Search(method)
    for statement in tree.body:
        yield from search.walk(statement)


class _Search:
    def __init__(self, method: Method) -> None:
        self.names = Names(method)

    def walk(self, node: ast.AST) -> Iterator[Found]:
        found = self._look_at(node)
        if found is not None:
            yield found
            if found.inside:
                return  # one piece; nothing in it is a site of its own
        for child in ast.iter_child_nodes(node):
            yield from self.walk(child)

    def _look_at(self, node: ast.AST) -> Found | None:
        if isinstance(node, ast.BinOp) and _calls_a_part(node):
            return _formula(node, self.names)
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Subscript):
                return _look_up(node, node.func.value, node.func.slice, self.names)
            if isinstance(node.func, ast.Call):
                return _built(node, node.func, self.names)
            return _call(node, self.names)
        return None


class Names:
    """What the names in a method stand for: globals and closure cells, but no local variables."""

    def __init__(self, method: Method) -> None:
        function = method.function
        codes = list(nested_codes(function.__code__))
        self.self_name = method.self_name
        self._locals = {name for code in codes for name in (*code.co_varnames, *code.co_cellvars)}
        self._globals = function.__globals__
        self._cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))

    def resolve(self, node: ast.expr) -> Any:
        """Return the object that a name or dotted name stands for, or None. No attribute of an object is read."""
        if isinstance(node, ast.Name):
            if node.id in self._locals:
                return None
            if node.id in self._cells:
                return self._cells[node.id].cell_contents
            return self._globals.get(node.id)
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


def _calls_a_part(node: ast.expr) -> bool:
    return any(
        isinstance(call, ast.Call) and getattr(call.func, "attr", getattr(call.func, "id", None)) in PARTS
        for call in ast.walk(node)
    )


# --- calls -----------------------------------------------------------------------------------------------------


def _call(node: ast.Call, names: Names) -> Found | None:
    """``F.gelu(x)``, ``gelu(x)`` of the model file, or of a global module such as transformers.activations.gelu."""
    function = names.resolve(node.func)
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    if not callable(function) or isinstance(function, type) or not _is_worth_a_look(function, name):
        return None
    flavour = {str(keyword.arg): keyword.value for keyword in node.keywords if keyword.arg != "input"}
    if set(flavour) - {"approximate"} or len(node.args) + len(node.keywords) - len(flavour) != 1:
        return None
    constants = {key: value.value for key, value in flavour.items() if isinstance(value, ast.Constant)}
    if len(constants) != len(flavour) or isinstance(node.args[0] if node.args else None, ast.Starred):
        return None
    known = recognise(partial(function, **constants) if constants else function)
    return Found(
        label=name,
        text=ast.unparse(node.func),
        call=Span.of(node),
        inside=False,
        callee=_callee(node, constants),
        edits=(Edit(Span.of(node.func), "{replacement}"), *_without_keywords(node)),
        activation_of=lambda module: known,
    )


def _is_worth_a_look(function: Any, name: str) -> bool:
    return looks_like_activation(name) or looks_like_activation(getattr(function, "__name__", ""))


def _callee(node: ast.Call, constants: Mapping[str, Any]) -> str:
    function = ast.unparse(node.func)
    keywords = "".join(f", {key}={value!r}" for key, value in constants.items())
    return f"(lambda input: {function}(input{keywords}))" if keywords else function


def _without_keywords(node: ast.Call) -> Iterator[Edit]:
    """The flavour of a call is in what replaces the function, so it goes from the call."""
    flavours = [keyword for keyword in node.keywords if keyword.arg != "input"]
    last = (node.args or [keyword.value for keyword in node.keywords if keyword.arg == "input"])[-1]
    if flavours:
        start, end = Span.of(last), Span.of(flavours[-1].value)
        yield Edit(Span(start.end_line, start.end_column, end.end_line, end.end_column), "")


# --- look-ups --------------------------------------------------------------------------------------------------


def _built(node: ast.Call, factory: ast.Call, names: Names) -> Found | None:
    """``nn.GELU()(x)`` and ``get_activation(self.config.hidden_act)(x)``."""
    made_by = names.resolve(factory.func)
    if not (isinstance(made_by, type) and issubclass(made_by, torch.nn.Module)):
        return _look_up(node, factory.func, factory.args[0], names) if len(factory.args) == 1 else None
    arguments = [*factory.args, *(keyword.value for keyword in factory.keywords)]
    if not looks_like_activation(made_by.__name__) or not all(isinstance(value, ast.Constant) for value in arguments):
        return None
    known = recognise(eval(ast.unparse(factory), {ast.unparse(factory.func).split(".")[0]: _root(factory.func, names)}))
    return _replacing(node, made_by.__name__, lambda module: known, depends_on_module=False)


def _root(node: ast.expr, names: Names) -> Any:
    while isinstance(node, ast.Attribute):
        node = node.value
    return names.resolve(node)


def _look_up(node: ast.Call, table: ast.expr, key: ast.expr, names: Names) -> Found | None:
    """``ACT2FN[self.config.hidden_act](x)`` and ``get_activation(self.config.hidden_act)(x)``."""
    found = names.resolve(table)
    library = sys.modules.get("transformers.activations")
    if library is None or (found is not library.ACT2FN and found is not library.get_activation):
        return None
    constant = key.value if isinstance(key, ast.Constant) else None
    path = names.of_self(key)
    if (constant is None and path is None) or len(node.args) != 1 or node.keywords:
        return None

    def activation_of(module: torch.nn.Module) -> Recognition:
        name = constant if path is None else read(module, path)
        return recognise(name) if isinstance(name, str) else _NOT_GELU

    return _replacing(node, str(getattr(table, "attr", getattr(table, "id", ""))), activation_of, path is not None)


def _replacing(
    node: ast.Call, label: str, activation_of: Callable[[torch.nn.Module], Recognition], depends_on_module: bool
) -> Found:
    """The function of the call goes, its argument stays."""
    function = ast.unparse(node.func)
    edits = (Edit(Span.of(node.func), "{replacement}"),)
    return Found(label, function, Span.of(node), False, function, edits, activation_of, depends_on_module)


def read(module: torch.nn.Module, path: tuple[str, ...]) -> Any:
    """Return a plain value that is reached by attributes of a module, or None."""
    value: Any = module
    for attribute in path:
        value = getattr(value, attribute, None)
    return value if isinstance(value, str | int | float | bool) else None


# --- formulas --------------------------------------------------------------------------------------------------


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


def _formula(node: ast.BinOp, names: Names) -> Found | None:
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
    function = eval(source, formula.names._globals)  # arithmetic only: `takes` has looked at every node
    known: dict[Constants, Recognition] = {}

    def activation_of(module: torch.nn.Module) -> Recognition:
        values = tuple(read(module, path) for path in paths)
        if None in values:
            return _NOT_GELU
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


def is_gelu(found: Recognition) -> bool:
    """Tell whether a recognised thing is one of the GELUs."""
    return found.activation is not None and activations.get(found.activation).is_gelu
