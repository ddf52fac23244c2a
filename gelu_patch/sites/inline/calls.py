"""Calls of GELU functions, of global modules, of modules made on the spot, and look-ups in ACT2FN."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch

from gelu_patch.activations.recognise import Recognition, looks_like_activation, recognise
from gelu_patch.sites.inline.found import NOT_GELU, Found
from gelu_patch.sites.inline.methods import Edit, Span
from gelu_patch.sites.inline.names import Names, read


def find_call(node: ast.Call, names: Names) -> Found | None:
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


def find_built(node: ast.Call, factory: ast.Call, names: Names) -> Found | None:
    """``nn.GELU()(x)`` and ``get_activation(self.config.hidden_act)(x)``."""
    made_by = names.resolve(factory.func)
    if not (isinstance(made_by, type) and issubclass(made_by, torch.nn.Module)):
        return find_look_up(node, factory.func, factory.args[0], names) if len(factory.args) == 1 else None
    arguments = [*factory.args, *(keyword.value for keyword in factory.keywords)]
    if not looks_like_activation(made_by.__name__) or not all(isinstance(value, ast.Constant) for value in arguments):
        return None
    known = recognise(eval(ast.unparse(factory), {ast.unparse(factory.func).split(".")[0]: _root(factory.func, names)}))
    return _replacing(node, made_by.__name__, lambda module: known, depends_on_module=False)


def _root(node: ast.expr, names: Names) -> Any:
    while isinstance(node, ast.Attribute):
        node = node.value
    return names.resolve(node)


def find_look_up(node: ast.Call, table: ast.expr, key: ast.expr, names: Names) -> Found | None:
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
        return recognise(name) if isinstance(name, str) else NOT_GELU

    return _replacing(node, str(getattr(table, "attr", getattr(table, "id", ""))), activation_of, path is not None)


def _replacing(
    node: ast.Call, label: str, activation_of: Callable[[torch.nn.Module], Recognition], depends_on_module: bool
) -> Found:
    """The function of the call goes, its argument stays."""
    function = ast.unparse(node.func)
    edits = (Edit(Span.of(node.func), "{replacement}"),)
    return Found(label, function, Span.of(node), False, function, edits, activation_of, depends_on_module)
