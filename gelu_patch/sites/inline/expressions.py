"""Finding GELU in the code of a method.

Nothing of the model is run, but a function that is named like an activation, and arithmetic; both on a small tensor.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from torch import nn

from gelu_patch.activations.recognise import looks_like_activation
from gelu_patch.sites.inline.calls import find_built, find_call, find_look_up
from gelu_patch.sites.inline.formulas import PARTS, find_formula
from gelu_patch.sites.inline.found import Found, is_gelu
from gelu_patch.sites.inline.methods import Method, nested_codes
from gelu_patch.sites.inline.names import Names

_ANY_MODULE = nn.Module()


def may_hold_gelu(method: Method) -> bool:
    """Tell, from the names in the compiled code alone, whether the method is worth parsing."""
    return any(
        name in PARTS or looks_like_activation(name) or name == "ACT2FN"
        for code in nested_codes(method.function.__code__)
        for name in code.co_names
    )


def find(tree: ast.FunctionDef, method: Method) -> Iterator[Found]:
    """Yield what is, or by the module's attributes may be, a GELU in a method, in the order of the source."""
    names = Names(method)
    for statement in tree.body:
        yield from _walk(statement, names)


def _walk(node: ast.AST, names: Names) -> Iterator[Found]:
    found = _look_at(node, names)
    if found is not None and (found.depends_on_module or is_gelu(found.activation_of(_ANY_MODULE))):
        yield found
        if found.inside:
            return  # one piece; nothing in it is a site of its own
    for child in ast.iter_child_nodes(node):
        yield from _walk(child, names)


def _look_at(node: ast.AST, names: Names) -> Found | None:
    match node:
        case ast.BinOp():
            return find_formula(node, names)
        case ast.Call(func=ast.Subscript(value=table, slice=key)):
            return find_look_up(node, table, key, names)
        case ast.Call(func=ast.Call() as factory):
            return find_built(node, factory, names)
        case ast.Call():
            return find_call(node, names)
    return None
