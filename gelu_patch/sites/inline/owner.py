"""The place of an expression in one module, and the finder that reports such places."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from gelu_patch.sites.base import Candidate, Form, Owner, Place, is_own_method
from gelu_patch.sites.finders import Finder, register_finder
from gelu_patch.sites.inline.found import is_gelu
from gelu_patch.sites.inline.reading import Expression, expressions_of, stock_class
from gelu_patch.sites.inline.rewriting import give, take


@dataclass(frozen=True)
class InlineOwner(Owner):
    """``key`` is that of the expression; the replacement is an attribute which the rewritten method looks for."""

    expression: Expression

    @property
    def form(self) -> Form:
        """Code in a method."""
        return "inline"

    @property
    def current(self) -> object:
        """The replacement, or the expression itself when there is none."""
        return vars(self.parent).get(self.expression.attribute, self.expression)

    def put(self, thing: object) -> None:
        """Set the replacement; the expression itself undoes it."""
        if isinstance(thing, Expression):
            take(self.parent, self.expression.attribute)
        else:
            give(self.parent, self.expression.attribute, thing)


def _expressions(place: Place) -> Iterator[Candidate]:
    """GELUs written in the methods of the module's class."""
    module = place.module
    for expression in expressions_of(stock_class(type(module))):
        owner = InlineOwner(module, expression.key, place.child_names(expression.key), expression)
        found = expression.activation_of(module)
        if owner.current is not expression:
            yield Candidate(owner.current, owner)
        elif is_gelu(found):
            yield Candidate(expression, owner, found, expression.obstacle or _obstacle(module, expression))


def _obstacle(module: nn.Module, expression: Expression) -> str | None:
    """A method that somebody replaced on the instance is not looked up in the class."""
    name = expression.method.name
    kept = [value for key, value in vars(module).items() if key in {name, "_old_forward"}]
    if name in vars(module) and not any(is_own_method(module, type(module), value) for value in kept):
        return f"{name} is replaced on the instance, so its code is out of reach; patch before that is done"
    return None


register_finder(Finder("inline", _expressions))
