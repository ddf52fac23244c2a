"""Where the code of a method gives the output of a Linear to an activation and to nothing else.

``h = self.c_fc(h); h = self.act(h)`` and ``self.act(self.wi_0(x))``. There both may be computed as one, because nobody
can see what lies between them; in ``self.act(self.gate(x)) * self.up(x)`` the product may overwrite the gate; and the
Linear of ``self.c_proj(self.act(h))``, where nothing else gets the activation, may be computed with the two.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch

from gelu_patch.activations.recognise import looks_like_activation
from gelu_patch.sites.inline.methods import Edit, Method, Span, UnreadableMethod, parse
from gelu_patch.sites.inline.names import Names
from gelu_patch.sites.inline.reading import Expression, expressions_of, reachable_methods

# Running one of these runs all of its parts, always.
_STRAIGHT = (ast.Assign, ast.Return, ast.Call, ast.BinOp, ast.keyword, ast.Tuple)

# In these, a name that is bound inside of an expression belongs elsewhere or is forbidden.
_OWN_SCOPE = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.Lambda,
    ast.ListComp,
    ast.SetComp,
    ast.DictComp,
    ast.GeneratorExp,
)


@dataclass(frozen=True, eq=False)
class Pair:
    """``activation`` of the output of ``linear``, both attributes of the module; or the activation is an expression.

    ``product`` is a product whose left factor is the result, used nowhere else; ``down`` is a call of another attribute
    that takes the result, and nothing else does.
    """

    stock_class: type
    method: Method
    key: str
    linear: str
    activation: str | Expression
    linear_callee: Span
    activation_callee: Span
    product: ast.BinOp | None = None
    down: str | None = None
    down_callee: Span | None = None

    @property
    def attribute(self) -> str:
        """The attribute of the module that holds what computes both."""
        return "_gelu_patch_pair_" + self.key.replace(".", "_")

    def __reduce__(self) -> tuple[Any, ...]:
        return find_pair, (self.stock_class, self.key)

    def __deepcopy__(self, memo: dict[int, Any]) -> Pair:
        return self

    def _held(self, callee: Span) -> str:
        """Source for what the attribute holds: looked for once, at the callee that Python evaluates first, and kept in
        a local variable for the others.
        """
        callees = [self.linear_callee, self.activation_callee, *([self.down_callee] if self.down_callee else [])]
        if callee != min(callees):  # callees are evaluated in the order of the source, also where calls are nested
            return self.attribute
        return f'({self.attribute} := getattr({self.method.self_name}, "{self.attribute}", None))'

    def around(self, activation: str) -> str:
        """Return source for the callee of the activation: what was computed already passes through ``done``."""
        return f"({self._held(self.activation_callee)} and {self.attribute}.done or {activation})"

    def edits(self) -> Iterator[Edit]:
        """Make the method call the attribute instead of the Linear, and nothing instead of the activation."""
        module = self.method.self_name
        yield Edit(self.linear_callee, f"({self._held(self.linear_callee)} or {module}.{self.linear})")
        if isinstance(self.activation, str):
            yield Edit(self.activation_callee, self.around(f"{module}.{self.activation}"))
        if self.product is not None:
            yield from _product_edits(self.product, f"{module}.{TIMES}")
        if self.down_callee is not None:
            here = self._held(self.down_callee)
            yield Edit(self.down_callee, f"({here} and {self.attribute}.then or {module}.{self.down})")


# The method of a rewritten class that multiplies, into its first factor when that is known to be nobody else's.
TIMES = "_gelu_patch_times"


# A tensor with this attribute is a result that nothing but the code of one method can see.
FRESH = "_gelu_patch_fresh"


def times(gate: Any, other: Any) -> Any:
    """``gate * other``, into ``gate`` when it is fresh, no gradient wants it and the result has its shape and dtype.

    A gate that is no tensor stands for one and multiplies itself.
    """
    if not isinstance(gate, torch.Tensor):
        return gate * other
    if (
        torch.compiler.is_compiling()
        or vars(gate).pop(FRESH, None) is None
        or type(other) is not torch.Tensor
        or (other.shape, other.dtype, other.device) != (gate.shape, gate.dtype, gate.device)
        or (torch.is_grad_enabled() and other.requires_grad)
    ):
        return gate * other
    return gate.mul_(other)


def _product_edits(product: ast.BinOp, function: str) -> Iterator[Edit]:
    left, right = Span.of(product.left), Span.of(product.right)
    yield Edit(Span(left.line, left.column, left.line, left.column), f"{function}(")
    yield Edit(Span(left.end_line, left.end_column, right.line, right.column), ", ")
    yield Edit(Span(right.end_line, right.end_column, right.end_line, right.end_column), ")")


@functools.cache
def pairs_of(kind: type) -> tuple[Pair, ...]:
    """Return the pairs in the methods that instances of a class run; none where the source cannot be read."""
    return tuple(_pairs(kind))


def find_pair(kind: type, key: str) -> Pair | None:
    """Return the pair of a class that is called ``key``, or None: another version of its code may have none."""
    return next((pair for pair in pairs_of(kind) if pair.key == key), None)


def _pairs(kind: type) -> Iterator[Pair]:
    for method, name in reachable_methods(kind):
        if not method.name.startswith("__"):
            expressions = [e for e in expressions_of(kind) if e.method == method and e.obstacle is None]
            try:
                yield from _Search(kind, method, name, expressions).pairs()
            except UnreadableMethod:
                continue


@dataclass(frozen=True)
class _Called:
    """A call of ``self.name(...)``, or of an expression that is a GELU, with one argument."""

    name: str | Expression
    callee: Span
    argument: ast.expr


class _Search:
    def __init__(self, kind: type, method: Method, name: str, expressions: Sequence[Expression]) -> None:
        self.kind, self.method, self.name = kind, method, name
        self.tree = parse(method)
        self.names = Names(method)
        self.inline = {e.found.edits[0].span: e for e in expressions if not e.found.inside}
        self.loads = [n.id for n in ast.walk(self.tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)]
        self.tries = any(isinstance(node, ast.Try) for node in ast.walk(self.tree))
        self.shared = {*method.function.__code__.co_cellvars, *method.function.__code__.co_freevars}

    def pairs(self) -> Iterator[Pair]:
        numbers: dict[str, int] = {}
        products = [node for node in _walk(self.tree) if isinstance(node, ast.BinOp) and _is_plain_product(node)]
        handed_on = [*self._nested(), *self._in_sequence()]
        found = [
            (linear, activation, call)
            for producer, call in handed_on
            if (linear := self._linear(producer)) and (activation := self._activation(call))
        ]
        taken = {linear.callee for linear, *_ in found}
        for linear, activation, call in found:
            label = activation.name if isinstance(activation.name, str) else activation.name.found.label
            key = f"{self.name}.{linear.name}.{label}"
            numbers[key] = number = numbers.get(key, -1) + 1
            result = self._bound_name(call)
            users = (self._linear(user) for producer, user in handed_on if producer is call and not self.tries)
            down = next((user for user in users if user is not None and user.callee not in taken), None)
            yield Pair(
                self.kind,
                self.method,
                f"{key}.{number}" if number else key,
                str(linear.name),
                activation.name,
                linear.callee,
                activation.callee,
                next((p for p in products if self._overwrites(p, result)), None),
                str(down.name) if down else None,
                down.callee if down else None,
            )

    def _nested(self) -> Iterator[tuple[ast.Call, ast.Call]]:
        """Each call with the call whose argument it is."""
        for node in _walk(self.tree):
            if isinstance(node, ast.Call) and len(node.args) == 1 and isinstance(node.args[0], ast.Call):
                yield node.args[0], node

    def _in_sequence(self) -> Iterator[tuple[ast.Call, ast.Call]]:
        """Each call with the call in the next statement that takes its result, which nothing else can see."""
        for block in _blocks(self.tree):
            for first, second in pairwise(block):
                match first:
                    case ast.Assign(targets=[ast.Name(id=between)], value=ast.Call() as call):
                        pass
                    case _:
                        continue
                if between in self.shared or not self._is_last_use(between, second):
                    continue
                for node in _always_run(second):
                    if isinstance(node, ast.Call) and [getattr(each, "id", None) for each in node.args] == [between]:
                        yield call, node

    def _linear(self, node: ast.AST) -> _Called | None:
        called = self._called(node)
        return called if called and not looks_like_activation(str(called.name)) else None

    def _activation(self, node: ast.AST) -> _Called | None:
        if isinstance(node, ast.Call) and Span.of(node.func) in self.inline and len(node.args) == 1:
            callee = Span.of(node.func)
            return _Called(self.inline[callee], callee, node.args[0])
        called = self._called(node)
        return called if called and looks_like_activation(str(called.name)) else None

    def _called(self, node: ast.AST) -> _Called | None:
        if not isinstance(node, ast.Call) or len(node.args) != 1 or node.keywords:
            return None
        path = self.names.of_self(node.func)
        if path is None or len(path) != 1 or isinstance(node.args[0], ast.Starred):
            return None
        return _Called(path[0], Span.of(node.func), node.args[0])

    def _is_last_use(self, name: str, statement: ast.stmt) -> bool:
        """Whether nobody can see the value of ``name`` after ``statement``, which uses it once."""
        here = sum(
            isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Load) for n in ast.walk(statement)
        )
        rebound = isinstance(statement, ast.Assign) and [getattr(t, "id", None) for t in statement.targets] == [name]
        gone = rebound or (isinstance(statement, ast.Return) and not self.tries) or self.loads.count(name) == 1
        return here == 1 and gone

    def _bound_name(self, call: ast.Call) -> ast.expr:
        """The variable that holds the result of a call and is read once, or the call itself."""
        for node in ast.walk(self.tree):
            match node:
                case ast.Assign(targets=[ast.Name(id=name) as target], value=value) if value is call:
                    return target if self.loads.count(name) == 1 and name not in self.shared else call
        return call

    @staticmethod
    def _overwrites(product: ast.BinOp, result: ast.expr) -> bool:
        left = product.left
        return left is result or (isinstance(left, ast.Name) and left.id == getattr(result, "id", None))


def _is_plain_product(node: ast.BinOp) -> bool:
    """``a * b`` without brackets around a factor, whose places the syntax tree does not tell."""
    left, right = Span.of(node.left), Span.of(node.right)
    between = Span(left.line, left.column, right.end_line, right.end_column)
    return isinstance(node.op, ast.Mult) and Span.of(node) == between


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a method but those in scopes of their own."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, _OWN_SCOPE):
            yield child
            yield from _walk(child)


def _always_run(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, _STRAIGHT):
        yield node
        for child in ast.iter_child_nodes(node):
            yield from _always_run(child)


def _blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    """The lists of statements that run one after the other."""
    for part in (node, *_walk(node)):
        for field in ("body", "orelse", "finalbody"):
            statements = getattr(part, field, None)
            if isinstance(statements, list):
                yield statements
