"""Which sites (``where=``) and which activation for each (the target)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import TypeAlias

from gelu_patch.activations.base import activations
from gelu_patch.errors import UnknownName, UsageError
from gelu_patch.sites import Site

# The one target that is no activation: the mathematics that each site has now, by the best kernel.
SAME_MATHEMATICS = "gelu_fused"

Selector: TypeAlias = str | re.Pattern[str] | Callable[[Site], bool]
Where: TypeAlias = Selector | Iterable[Selector] | None
Target: TypeAlias = str | Mapping[str, str]


def name_matches(selector: Selector, name: str, site: Site) -> bool:
    """Tell whether ``selector`` takes the site under this dotted path.

    A string is a glob on the dotted path, from the root or from any component on, so that ``encoder.*`` means
    the same for BertModel (``encoder.layer...``) and BertForMaskedLM (``bert.encoder.layer...``). A compiled
    regular expression is searched in the path. A callable gets the site.
    """
    if isinstance(selector, str):
        return fnmatchcase(name, selector) or fnmatchcase(name, f"*.{selector}")
    if isinstance(selector, re.Pattern):
        return selector.search(name) is not None
    return bool(selector(site))


def as_selectors(where: Where) -> tuple[Selector, ...]:
    """Return ``where`` as a tuple of selectors; None selects everything. Raises UsageError on other types."""
    if where is None:
        return ("*",)
    if isinstance(where, str | re.Pattern) or callable(where):
        return (where,)
    selectors = tuple(where)
    for selector in selectors:
        if not (isinstance(selector, str | re.Pattern) or callable(selector)):
            raise UsageError(
                f"where={selector!r} is no selector",
                next_step="pass a glob, a compiled regular expression, a function of a site, or a list of these",
            )
    return selectors


def target_name(target: str) -> str:
    """Return the canonical name of a target. Raises UnknownName, suggesting near names."""
    if target == SAME_MATHEMATICS:
        return target
    try:
        return activations.get(target).name
    except UnknownName:
        known = [SAME_MATHEMATICS, *activations.names()]
        known += [alias for name in activations.names() for alias in activations.aliases_of(name)]
        raise UnknownName.of("activation", target, known) from None


def as_rules(target: Target) -> tuple[tuple[str, str], ...]:
    """Return the target as (glob, canonical name) pairs, the first match of a site being the one that counts."""
    if isinstance(target, str):
        return (("*", target_name(target)),)
    if not isinstance(target, Mapping) or not target:
        raise UsageError(
            f"{target!r} is no target",
            next_step='pass a name such as "gelu_fused", or a mapping such as {"encoder.*": "gelu_fused"}',
        )
    return tuple((glob, target_name(name)) for glob, name in target.items())


def describe_where(where: Where) -> str | None:
    """Return ``where`` as text for the plan, or None when everything is selected."""
    if where is None:
        return None
    return ", ".join(
        selector
        if isinstance(selector, str)
        else selector.pattern
        if isinstance(selector, re.Pattern)
        else getattr(selector, "__qualname__", repr(selector))
        for selector in as_selectors(where)
    )
