"""The GELU expressions of a class: what the code of its methods computes, read once for each class."""

from __future__ import annotations

import dis
import functools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from gelu_patch.activations.recognise import Recognition, looks_like_activation, recognise
from gelu_patch.errors import UnsupportedModel
from gelu_patch.sites.inline.expressions import find, may_hold_gelu
from gelu_patch.sites.inline.found import Found, is_gelu
from gelu_patch.sites.inline.methods import Method, Span, UnreadableMethod, methods_of, parse

# A generated class (see `rewriting`) names here the class that it stands for.
STOCK_CLASS = "gelu_patch_stock_class"


@dataclass(frozen=True, eq=False)
class Expression:
    """A GELU in the code of a method; one object for each class and place, whichever instance runs it.

    ``key`` names it within the module: the method, what is called, and a number when there are several.
    ``obstacle`` says why it cannot be replaced, if so.
    """

    stock_class: type
    method: Method
    key: str
    found: Found
    obstacle: str | None = None

    @property
    def attribute(self) -> str:
        """The attribute of the module that holds the replacement."""
        return "_gelu_patch_" + self.key.replace(".", "_")

    @property
    def call(self) -> Span:
        """Where the expression stands; running exactly this span, or for a formula any part of it, runs it."""
        return self.found.call

    @property
    def location(self) -> str:
        """``modeling_whisper.py:615``."""
        return f"{Path(self.method.file).name}:{self.call.line}"

    @property
    def gelu_patch_description(self) -> str:
        """What tables show as the implementation."""
        return f"{self.found.text} at {self.location}"

    def activation_of(self, module: nn.Module) -> Recognition:
        """What it computes in this module; a look-up or a formula may read the module's attributes."""
        return self.found.activation_of(module)

    def __reduce__(self) -> tuple[Any, ...]:
        return find_expression, (self.stock_class, self.key)

    def __deepcopy__(self, memo: dict[int, Any]) -> Expression:
        return self


def stock_class(kind: type[Any]) -> Any:
    """Return the class that a module was built with, when another was put on top of it: by us, or by FSDP2."""
    return next((k for k in kind.__mro__ if STOCK_CLASS not in vars(k) and not _belongs_to_a_library(k)), kind)


def find_expression(kind: type, key: str) -> Expression:
    """Return the expression of a class that is called ``key``. Raises UnsupportedModel when there is none."""
    for expression in expressions_of(kind):
        if expression.key == key:
            return expression
    raise UnsupportedModel(
        f"{kind.__qualname__} has no GELU expression {key!r}",
        where=kind.__module__,
        why="the model was patched with another version of its code",
        next_step="build the stock model with this version and patch it again",
    )


@functools.cache
def expressions_of(kind: type) -> tuple[Expression, ...]:
    """Return the expressions in the methods of a class and its bases that are, or may be, a GELU.

    A look-up such as ``ACT2FN[self.config.hidden_act]`` is one whatever it gives; ask ``activation_of``.
    """
    return tuple(e for method, name in reachable_methods(kind) for e in _of_method(kind, method, name))


def reachable_methods(kind: type) -> Iterator[tuple[Method, str]]:
    """Yield the methods that instances of a class can run, each with its name in keys; none that a library wrote."""
    above: dict[str, Method | None] = {}  # the nearest definition of each name
    for owner in kind.__mro__:
        if STOCK_CLASS in vars(owner) or _belongs_to_a_library(owner):
            continue
        methods = {method.name: method for method in methods_of(owner)}
        for name, method in methods.items():
            if name not in above:
                yield method, name
            elif _calls_super(above[name]):
                yield method, f"{owner.__name__}.{name}"
        above = {name: methods.get(name) for name in vars(owner)} | above


def _belongs_to_a_library(owner: type) -> bool:
    package = owner.__module__.split(".")
    return package[0] == "torch" or package[:2] == ["transformers", "modeling_utils"]


def _calls_super(method: Method | None) -> bool:
    """Otherwise what the method overrides is never run."""
    return method is not None and "super" in method.function.__code__.co_names


def _of_method(kind: type, method: Method, name: str) -> Iterator[Expression]:
    if (method.name.startswith("__") and method.name != "__call__") or not may_hold_gelu(method):
        return
    try:
        tree = parse(method)
    except UnreadableMethod as error:
        yield from _unreadable(kind, method, name, str(error))
        return
    found = list(find(tree, method))
    labels, numbers = Counter(piece.label for piece in found), Counter[str]()
    for piece in found:
        number = f".{numbers[piece.label]}" if labels[piece.label] > 1 else ""
        numbers[piece.label] += 1
        yield Expression(kind, method, f"{name}.{piece.label}{number}", piece)


def _unreadable(kind: type, method: Method, name: str, why: str) -> Iterator[Expression]:
    """Without the source, what the compiled code loads by a global name can still be recognised."""
    code = method.function.__code__
    place = Span(code.co_firstlineno, 0, code.co_firstlineno, 0)
    for label, thing in dict(_globals_loaded(method)).items():  # once, however often it is called
        if looks_like_activation(label) and callable(thing) and is_gelu(known := recognise(thing)):
            found = Found(label, label, place, False, "", (), lambda module, known=known: known)  # type: ignore[misc]
            yield Expression(kind, method, f"{name}.{label}", found, why)


def _globals_loaded(method: Method) -> Iterator[tuple[str, object]]:
    """The last name and the object of each ``a.b.c`` that the code loads from its globals."""
    thing: object = None
    for instruction in dis.get_instructions(method.function.__code__):
        if instruction.opname == "LOAD_GLOBAL":
            thing = method.function.__globals__.get(instruction.argval)
        elif instruction.opname in {"LOAD_ATTR", "LOAD_METHOD"} and isinstance(thing, ModuleType):
            thing = getattr(thing, instruction.argval, None)
        else:
            thing = None
        if thing is not None and not isinstance(thing, ModuleType):
            yield instruction.argval, thing
