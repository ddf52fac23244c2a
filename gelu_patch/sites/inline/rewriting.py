"""The class that stands in for a module's own class once an expression of it is replaced.

It is a subclass with the same name, whose methods look for a replacement on the instance first:
``(getattr(self, "_gelu_patch_forward_gelu", None) or F.gelu)(x)``. So one class serves every instance and every
combination of replacements, a module without a replacement computes what it always did, and a thread that
is inside of a method while a patch is undone goes on rightly.
"""

from __future__ import annotations

import copyreg
import functools
import pickle
from types import MethodType
from typing import Any, cast

from torch import nn

from gelu_patch.sites.base import is_own_method
from gelu_patch.sites.inline.methods import Edit, Method, rewrite
from gelu_patch.sites.inline.pairs import TIMES, Pair, pairs_of, times
from gelu_patch.sites.inline.reading import STOCK_CLASS, Expression, expressions_of, find_expression, stock_class


@functools.cache
def rewritten_class(kind: type) -> Any:
    """Return the stand-in for a class. Raises UnreadableMethod when a method cannot be compiled again.

    What the class inherits is rewritten in a subclass of the base that holds it. As a further base of the
    stand-in that one comes just before its own base in the method resolution order, so ``super()`` finds it.
    """
    methods = _rewritten_methods(kind)
    own = methods.pop(stock_class(kind), {})
    inherited = [_subclass(owner, (), methods[owner]) for owner in kind.__mro__ if owner in methods]
    extra = {STOCK_CLASS: kind, "__reduce_ex__": _reduce, TIMES: staticmethod(times)}
    return _subclass(kind, tuple(inherited), own | extra)


def _rewritten_methods(kind: type) -> dict[type, dict[str, Any]]:
    edits: dict[Method, list[Edit]] = {}
    pairs = pairs_of(stock_class(kind))
    around = {pair.activation: pair for pair in pairs}
    replaceable = [expression for expression in expressions_of(stock_class(kind)) if expression.obstacle is None]
    for expression in replaceable:
        edits.setdefault(expression.method, []).extend(_edits(expression, around.get(expression)))
    for pair in pairs:
        edits.setdefault(pair.method, []).extend(pair.edits())
    methods: dict[type, dict[str, Any]] = {}
    for method, changes in edits.items():
        methods.setdefault(method.owner, {})[method.name] = new = rewrite(method, changes)
        if not any(expression.method == method for expression in replaceable):
            # TorchScript compiles the source of what is wrapped: the same function, without asking for a block.
            vars(new)["__wrapped__"] = vars(method.owner)[method.name]
    return methods


def _subclass(kind: type, more_bases: tuple[type, ...], namespace: dict[str, Any]) -> type:
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
    return type(kind)(kind.__name__, (kind, *more_bases), namespace | names)


def is_rewritten(kind: type) -> bool:
    """Tell whether a stand-in is at work in a class, also when somebody put another class on top of it."""
    return any(STOCK_CLASS in vars(base) for base in kind.__mro__)


def give(module: nn.Module, attribute: str, thing: object) -> None:
    """Set what the rewritten methods look for, and see that they run. Each step leaves a module that runs rightly.

    Raises UnreadableMethod, with nothing changed.
    """
    now = cast(type, type(module))
    kind = now if is_rewritten(now) else rewritten_class(now)
    vars(module)[attribute] = thing
    if kind is not now:
        change_class(module, kind)


def take(module: nn.Module, attribute: str) -> None:
    """Undo ``give``; with the last attribute the module's own class comes back."""
    vars(module).pop(attribute, None)
    now = cast(type, type(module))
    # A class that somebody else put on top of ours stays; with no attribute ours computes what the stock class does.
    if STOCK_CLASS in vars(now) and not any(name in vars(module) for name in _attributes(stock_class(now))):
        change_class(module, vars(now)[STOCK_CLASS])


def _attributes(kind: type) -> list[str]:
    return [*(e.attribute for e in expressions_of(kind)), *(pair.attribute for pair in pairs_of(kind))]


def change_class(module: nn.Module, kind: type) -> None:
    """Give a module another class with one assignment.

    accelerate's hooks keep the module's forward, bound to the old class, in an attribute; that is renewed.
    """
    old = type(module)
    module.__class__ = kind
    for name, value in list(vars(module).items()):
        if is_own_method(module, old, value):
            module.__dict__[name] = MethodType(getattr(kind, value.__name__), module)


def _edits(expression: Expression, pair: Pair | None) -> list[Edit]:
    new = f'(getattr({expression.method.self_name}, "{expression.attribute}", None) or {expression.found.callee})'
    new = pair.around(new) if pair else new
    return [Edit(edit.span, edit.text.replace("{replacement}", new)) for edit in expression.found.edits]


def _reduce(module: nn.Module, protocol: int) -> tuple[Any, ...]:
    """Pickle and copy by the class that can be imported, and the names of what was replaced in it."""
    kind = next(base for base in type(module).__mro__ if STOCK_CLASS in vars(base))
    stock = vars(kind)[STOCK_CLASS]
    reduced = stock.__reduce_ex__(module, protocol)
    if reduced[0] is not copyreg.__newobj__ or type(module) is not kind:  # type: ignore[attr-defined]
        raise pickle.PicklingError(
            f"cannot pickle or copy a patched {kind.__qualname__}, which has its own way of doing that; "
            "call gelu_patch.unpatch_model(model) first, or save it with gelu_patch.save_patched(model, directory)"
        )
    keys = tuple(e.key for e in expressions_of(stock_class(stock)) if e.attribute in vars(module))
    return _rebuild, (stock, keys), *reduced[2:]


def _rebuild(stock: type, keys: tuple[str, ...]) -> nn.Module:
    for key in keys:
        find_expression(stock_class(stock), key)  # refuses when this version of the code has none
    kind = rewritten_class(stock)
    module: nn.Module = copyreg.__newobj__(kind)  # type: ignore[attr-defined]
    return module
