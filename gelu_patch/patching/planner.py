"""Making a plan: find the sites, select them, choose a kernel for each, and keep every reason."""

from __future__ import annotations

from torch import nn

from gelu_patch.blocks import fusable
from gelu_patch.errors import NothingToPatch, UsageError
from gelu_patch.kernels import KernelActivation, select
from gelu_patch.memory import DEFAULT, Memory, checked
from gelu_patch.patching.current import request_at
from gelu_patch.patching.plan import Change, Plan, Rejection
from gelu_patch.patching.selectors import (
    SAME_MATHEMATICS,
    Selector,
    Target,
    Where,
    as_rules,
    as_selectors,
    describe_where,
    name_matches,
)
from gelu_patch.sites import Site, find_sites


def plan_patch(model: nn.Module, target: Target, where: Where = None, *, memory: Memory = DEFAULT) -> Plan:
    """Return what ``patch_model`` would do, without touching ``model``.

    ``target`` is ``"gelu_fused"`` (the mathematics that each site has now, by the best kernel), the name of an
    activation, or a mapping from globs to these; the first glob that matches a site counts. ``where`` limits
    the sites: a glob on dotted paths, a compiled regular expression, a function of a ``Site``, or a list of
    these. ``memory`` says what training keeps for the backward pass (``gelu_patch.memory``). Raises UnknownName for an
    unknown target or memory, UsageError for a selector that matches no site.
    """
    rules, selectors, memory = as_rules(target), as_selectors(where), checked(memory)
    sites = [site for site in find_sites(model) if site.is_gelu]
    _check_that_each_selects_something(sites, [*selectors, *(glob for glob, _ in rules)])
    outcomes = [_decide(model, site, rules, selectors, memory) for site in sites]
    return Plan(
        model=type(model).__name__,
        target=target if isinstance(target, str) else ", ".join(f"{g}={n}" for g, n in rules),
        where=describe_where(where),
        memory=memory,
        changes=tuple(outcome for outcome in outcomes if isinstance(outcome, Change)),
        rejected=tuple(outcome for outcome in outcomes if isinstance(outcome, Rejection)),
    )


def _check_that_each_selects_something(sites: list[Site], selectors: list[Selector]) -> None:
    for selector in selectors if sites else []:
        if not any(name_matches(selector, name, site) for site in sites for name in site.names):
            shown = [site.name for site in sites[:3]] + (["..."] if len(sites) > 3 else [])
            raise NothingToPatch(
                f"{describe_where(selector)!r} matches none of the {len(sites)} GELU sites",
                why=f"the sites are: {', '.join(shown)}",
                next_step="see all of them with gelu_patch.inspect_model(model), or `gelu-patch inspect`; "
                "a string is a glob, a regular expression is re.compile(...)",
            )


def _decide(
    model: nn.Module,
    site: Site,
    rules: tuple[tuple[str, str], ...],
    selectors: tuple[Selector, ...],
    memory: Memory,
) -> Change | Rejection:
    def reject(reason: str, *, by_request: bool = False) -> Rejection:
        return Rejection(site=site.name, reason=reason, by_request=by_request)

    chosen = {name: any(name_matches(s, name, site) for s in selectors) for name in site.names}
    if not any(chosen.values()):
        return reject("outside where", by_request=True)
    targets = {name: _target_of(name, site, rules) if chosen[name] else None for name in site.names}
    if len(set(targets.values())) > 1:
        return reject(_SHARED.format(others=", ".join(f"{name}: {to or 'left'}" for name, to in targets.items())))
    wanted = next(iter(targets.values()))
    if wanted is None:
        return reject("no entry of the target mapping matches it", by_request=True)
    if site.obstacle:
        return reject(site.obstacle)
    before = site.activation
    assert before is not None  # a GELU site is a recognised one
    after = before if wanted == SAME_MATHEMATICS else wanted
    try:
        kernel = select(request_at(model, site, after)).kernel
    except UsageError as error:
        return reject(error.why or error.what)
    current = site.target
    if isinstance(current, KernelActivation) and _state(current) == (after, kernel.name, memory):
        return reject(f"it already is {after} by {kernel.name}", by_request=True)
    return Change(
        site=site.name,
        owners=site.names,
        form=site.form,
        implementation=site.implementation,
        before=before,
        after=after,
        kernel=kernel.name,
        fused_with=fusable(site, kernel.function(after)),
    )


def _state(current: KernelActivation) -> tuple[str, str, Memory]:
    return current.activation, current.kernel, current.memory


_SHARED = (
    "one object under several names, which would be treated differently ({others}); select all of its names or none"
)


def _target_of(name: str, site: Site, rules: tuple[tuple[str, str], ...]) -> str | None:
    return next((to for glob, to in rules if name_matches(glob, name, site)), None)
