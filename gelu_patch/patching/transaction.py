"""Applying a plan: build everything, then commit with single assignments, or roll back; and undoing it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from torch import nn

from gelu_patch import blocks
from gelu_patch.errors import NothingToPatch, PatchConflict
from gelu_patch.kernels import KernelActivation
from gelu_patch.memory import DEFAULT, Memory
from gelu_patch.patching import hooks
from gelu_patch.patching.current import patched_sites, swapped
from gelu_patch.patching.handover import check_unhooked, hand_back, hand_over
from gelu_patch.patching.inflight import refuse_inside_a_step
from gelu_patch.patching.plan import Change, Plan, Rejection
from gelu_patch.patching.planner import plan_patch
from gelu_patch.patching.proof import prove
from gelu_patch.patching.selectors import Target, Where
from gelu_patch.sites import Owner, Site, check_model, find_sites, inspect_model
from gelu_patch.sites.table import as_text

# Patching two models from two threads may meet on a shared activation object.
_LOCK = threading.RLock()


@dataclass(frozen=True)
class _Replacement:
    owner: Owner
    old: object
    new: KernelActivation
    changes_mathematics: bool


class Patch:
    """The handle of an applied patch. As a context manager it undoes itself at the end of the block."""

    def __init__(self, model: nn.Module, plan: Plan, replacements: tuple[_Replacement, ...]) -> None:
        self.model = model
        self.plan = plan
        self._replacements = replacements

    @property
    def replaced(self) -> tuple[Change, ...]:
        """The sites that were replaced."""
        return self.plan.changes

    @property
    def rejected(self) -> tuple[Rejection, ...]:
        """The sites that were left alone, each with the reason."""
        return self.plan.rejected

    @property
    def active(self) -> bool:
        """Whether any site still holds what this patch put there."""
        return any(replacement.owner.current is replacement.new for replacement in self._replacements)

    def revert(self) -> None:
        """Put the identical objects back. Doing it twice is fine.

        Raises PatchConflict, with nothing undone, when a later patch lies on top of this one or somebody else
        changed a site meanwhile, or when a checkpointed forward waits for its backward.
        """
        with _LOCK:
            standing = [r for r in self._replacements if _stands(r)]
            check_unhooked(replacement.owner for replacement in standing)
            if any(replacement.changes_mathematics for replacement in standing):
                refuse_inside_a_step(self.model)
            for replacement in standing:
                _restore(replacement.owner, replacement.new, replacement.old)
            _settle(self.model)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.revert()

    def __len__(self) -> int:
        return len(self.replaced)

    def __str__(self) -> str:
        state = "active" if self.active else "reverted"
        return f"{as_text(self.plan)}\npatch is {state}; undo with patch.revert()"

    def __repr__(self) -> str:
        return f"<Patch {self.plan.target}: {len(self)} of {self.plan.n_sites} sites of {self.plan.model}>"


def patch_model(
    model: nn.Module,
    target: Target,
    where: Where = None,
    *,
    memory: Memory = DEFAULT,
    example_inputs: object = None,
    allow_empty: bool = False,
) -> Patch:
    """Replace the GELU activations of ``model`` in place and return the handle that undoes it.

    ``target``, ``where`` and ``memory`` are those of ``plan_patch``. All sites are replaced or none: any failure leaves
    the model as it was. Parameters, buffers, ``state_dict`` keys and the config are not touched. Raises
    NothingToPatch when no site was replaced, unless ``allow_empty``.

    With ``example_inputs`` (those of ``inspect_model``) the model is run before and after, and GeluSurvives is
    raised, with the patch undone, when a GELU ran that was not replaced and that ``where`` did not leave out.
    """
    with _LOCK:
        plan = plan_patch(model, target, where, memory=memory)
        if not plan.changes and not allow_empty:
            raise _nothing_to_patch(model, plan)
        if example_inputs is None:
            return apply_plan(model, plan)
        before = inspect_model(model, example_inputs)
        patch = apply_plan(model, plan)
        try:
            prove(model, plan, before, example_inputs)
        except BaseException:
            patch.revert()
            raise
        return patch


def apply_plan(model: nn.Module, plan: Plan) -> Patch:
    """Apply a plan, made now or loaded, to ``model``.

    Raises PatchConflict, with nothing changed, when a site of the plan is not in the model or has another
    activation than the plan says, or when the mathematics would change while a checkpointed forward waits for its
    backward.
    """
    with _LOCK:
        sites = {site.name: site for site in find_sites(check_model(model))}
        replacements = tuple(
            replacement
            for change in plan.changes
            for replacement in _build(change, sites.get(change.site), plan.memory)
        )
        if plan.changes_mathematics:
            refuse_inside_a_step(model)
        _commit(replacements)
        _settle(model)
        return Patch(model, plan, replacements)


def unpatch_model(model: nn.Module) -> int:
    """Undo every patch on ``model``, also on a deep copy of a patched model; return how many sites it was.

    What the model was built with comes back: the identical objects, or in a copy their copies. Raises PatchConflict,
    with nothing undone, when somebody put a hook on a replacement or a checkpointed forward waits for its backward.
    """
    with _LOCK:
        patched = patched_sites(model)
        check_unhooked(owner for site in patched for owner in site.owners)
        if swapped(site.target for site in patched):
            refuse_inside_a_step(model)
        for site in patched:
            assert isinstance(site.target, KernelActivation)
            for owner in site.owners:
                _restore(owner, site.target, site.target.stock)
        _settle(model)
        return len(patched)


def _build(change: Change, site: Site | None, memory: Memory) -> Iterator[_Replacement]:
    if site is None or site.activation != change.before:
        found = f"it is {site.activation} ({site.implementation})" if site else "the model has no such site"
        raise PatchConflict(
            "the plan does not fit this model",
            where=change.site,
            why=f"the plan expects {change.before}; {found}",
            next_step="make the plan on this model: gelu_patch.plan_patch(model, target)",
        )
    old = site.target
    new = KernelActivation(
        change.after,
        change.kernel,
        original=old,
        origin=getattr(old, "gelu_patch_origin", change.before),
        memory=memory,
    )
    hand_over(old, new)
    for owner in site.owners:
        yield _Replacement(owner, old, new, change.changes_mathematics)


def _commit(replacements: tuple[_Replacement, ...]) -> None:
    done: list[_Replacement] = []
    try:
        for replacement in replacements:
            replacement.owner.put(replacement.new)
            done.append(replacement)
    except BaseException:
        for replacement in reversed(done):
            replacement.owner.put(replacement.old)
        raise


def _settle(model: nn.Module) -> None:
    """Bring up what follows from the sites of ``model`` as they are now."""
    blocks.follow(find_sites(model))
    hooks.follow(model)


def _restore(owner: Owner, current: object, original: object) -> None:
    hand_back(current, original)
    owner.put(original)


def _chain(thing: object) -> list[object]:
    """``thing`` and everything that it replaced, the newest first."""
    chain = [thing]
    while isinstance(chain[-1], KernelActivation):
        chain.append(chain[-1].original)
    return chain


def _stands(replacement: _Replacement) -> bool:
    """Whether the replacement is at its owner; False when it was undone already. Raises PatchConflict."""
    current = replacement.owner.current
    if current is replacement.new:
        return True
    if any(current is earlier for earlier in _chain(replacement.old)):
        return False
    later = any(thing is replacement.new for thing in _chain(current))
    raise PatchConflict(
        "cannot undo this patch",
        where=replacement.owner.names[0],
        why="a later patch lies on top of it" if later else "somebody else changed this site meanwhile",
        next_step="revert the later patch first, or call gelu_patch.unpatch_model(model)"
        if later
        else "put back what was there, or rebuild the model",
    )


def _nothing_to_patch(model: nn.Module, plan: Plan) -> NothingToPatch:
    if plan.n_sites:
        counts = Counter(rejection.reason for rejection in plan.rejected)
        reasons = "; ".join(f"{reason} ({count} sites)" for reason, count in counts.items())
        return NothingToPatch(
            f"none of the {plan.n_sites} GELU sites of {plan.model} was patched",
            why=reasons,
            next_step="change target or where, or pass allow_empty=True",
        )
    return NothingToPatch(
        inspect_model(model).summary,
        why="only GELUs are patched; what runs in functions outside of the model's classes is seen with example inputs",
        next_step="gelu_patch.inspect_model(model, example_inputs), or pass allow_empty=True",
    )
