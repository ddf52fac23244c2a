"""Putting blocks where a patched activation follows a Linear, and taking them away with the patch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from gelu_patch.blocks.block import Block
from gelu_patch.kernels import KernelActivation
from gelu_patch.kernels.autograd import Elementwise
from gelu_patch.kernels.base import Function
from gelu_patch.sites import Owner, Site
from gelu_patch.sites.inline.methods import UnreadableMethod
from gelu_patch.sites.inline.owner import InlineOwner
from gelu_patch.sites.inline.pairs import Pair, pairs_of
from gelu_patch.sites.inline.reading import stock_class
from gelu_patch.sites.inline.rewriting import give, take
from gelu_patch.sites.neighbours import is_plain_linear


def fusable(site: Site, function: Function) -> tuple[str, ...]:
    """Return the dotted paths of the Linears that are computed together with the site once ``function`` serves it."""
    if not isinstance(function, Elementwise):
        return ()
    return tuple(
        name.removesuffix(owner.key) + pair.linear
        for owner in site.owners
        for pair in _pairs(owner)
        if _begins_plainly(owner, pair)
        for name in owner.names
    )


def follow(sites: list[Site]) -> None:
    """Put a block at each pair that ends in a patched site whose kernel works in place; take away all others.

    Also where an adapter has meanwhile taken the Linear's place.
    """
    for site in sites:
        activation = site.target if isinstance(site.target, KernelActivation) else None
        for owner in site.owners:
            for pair in _pairs(owner):
                if activation and isinstance(activation.function, Elementwise) and _begins_plainly(owner, pair):
                    with suppress(UnreadableMethod):  # then it stays two calls
                        give(owner.parent, pair.attribute, Block(owner.parent, pair, activation))
                elif pair.attribute in vars(owner.parent):
                    take(owner.parent, pair.attribute)


def _pairs(owner: Owner) -> Iterator[Pair]:
    """The pairs of the owner's module that end in this site."""
    ending = owner.expression if isinstance(owner, InlineOwner) else owner.key
    return (pair for pair in pairs_of(stock_class(type(owner.parent))) if pair.activation == ending)


def _begins_plainly(owner: Owner, pair: Pair) -> bool:
    linear = owner.parent._modules.get(pair.linear)
    return linear is not None and is_plain_linear(linear)
