"""Plan, apply, revert on random module trees: what holds for every tree, whatever is shared in it."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import nn

from gelu_patch.errors import NothingToPatch, PatchConflict
from gelu_patch.kernels import KernelActivation
from gelu_patch.patching import Plan, apply_plan, current_plan, patch_model, plan_patch, transaction, unpatch_model
from gelu_patch.sites import find_sites
from gelu_patch.sites.base import SubmoduleOwner
from tests.patching.random_trees import Model, Recipe, example_input, holdings, recipes, snapshot

many = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TARGETS = st.sampled_from(["gelu_fused", "relu", "silu", "gelu_tanh"])


def patched_places(model: nn.Module) -> dict[tuple[int, str], int]:
    return {(id(p), key): id(thing) for p, key, thing in holdings(model) if isinstance(thing, KernelActivation)}


def held_by_others(built: Model) -> dict[tuple[int, str], object]:
    """What the modules refer to that are no activation themselves; activations leave the tree when it is patched."""
    acts = {id(act) for act in built.acts}
    return {(id(p), key): thing for p, key, thing in holdings(built.model) if id(p) not in acts}


def assert_unchanged(model: nn.Module, held: dict[tuple[int, str], object], except_for: set[tuple[int, str]]) -> None:
    now = {(id(p), key): thing for p, key, thing in holdings(model)}
    assert all(now[place] is thing for place, thing in held.items() if place not in except_for)


def outputs(model: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(example_input())


@many
@given(recipes(), TARGETS)
def test_every_gelu_and_nothing_else_is_replaced_and_comes_back(recipe: Recipe, target: str) -> None:
    built = recipe.build()
    model, before, stock = built.model, outputs(built.model), snapshot(built.model)
    plan = plan_patch(model, target)
    assert snapshot(model) == stock, "planning touched the model"
    assert plan == plan_patch(model, target) == Plan.model_validate_json(plan.model_dump_json())
    gelus, keys = built.gelu_places(), list(model.state_dict())
    held = held_by_others(built)
    with patch_model(model, target, allow_empty=True) as patch:
        assert not patch.rejected
        assert patch.plan == plan
        assert set(patched_places(model)) == gelus
        assert not any(s.is_gelu and not isinstance(s.target, KernelActivation) for s in find_sites(model))
        assert_unchanged(model, held, except_for=gelus)
        assert list(model.state_dict()) == keys
    assert snapshot(model) == stock
    assert torch.equal(outputs(model), before)


@many
@given(recipes())
def test_one_object_stays_one_object(recipe: Recipe) -> None:
    """Places of one module share its replacement; a function belongs to the process, so each place has its own."""
    model = recipe.build().model
    shared = {(id(p), key): id(thing) for p, key, thing in holdings(model) if isinstance(thing, nn.Module)}
    patch_model(model, "relu", allow_empty=True)
    new = patched_places(model)
    for a, thing in shared.items():
        for b, other in shared.items():
            if a in new and b in new:
                assert (thing == other) == (new[a] == new[b])
    functions = [place for place in new if place not in shared]
    assert len({new[place] for place in functions}) == len(functions)


@many
@given(recipes())
def test_the_patched_model_computes_what_it_should(recipe: Recipe) -> None:
    model, relu = recipe.build().model, recipe.with_relu()
    relu.load_state_dict(model.state_dict())
    before = outputs(model)
    with patch_model(model, "gelu_fused", allow_empty=True):
        assert torch.allclose(outputs(model), before, rtol=1e-5, atol=1e-5)
    with patch_model(model, "relu", allow_empty=True):
        assert torch.allclose(outputs(model), outputs(relu), rtol=1e-5, atol=1e-5)


@many
@given(recipes(), st.data())
def test_a_selection_touches_exactly_what_it_names(recipe: Recipe, data: st.DataObject) -> None:
    built = recipe.build()
    model, held = built.model, held_by_others(built)
    sites = [site for site in find_sites(model) if site.is_gelu]
    assume(sites)
    paths = [name for site in sites for name in site.names]
    chosen = data.draw(st.sets(st.sampled_from(paths), min_size=1), label="chosen")

    def takes(name: str) -> bool:  # a path counts from the root or from any component on
        return any(name == path or name.endswith(f".{path}") for path in chosen)

    wholly = {site.name for site in sites if all(map(takes, site.names))}
    partly = {site.name for site in sites if any(map(takes, site.names))} - wholly
    plan = plan_patch(model, "relu", where=sorted(chosen))
    assert {change.site for change in plan.changes} == wholly
    reasons = dict(plan.rejected)
    assert set(reasons) == {site.name for site in sites} - wholly
    for name, reason in reasons.items():
        assert ("one object under several names" in reason) == (name in partly)
        assert (reason == "outside where") == (name not in partly)
    apply_plan(model, plan)
    expected = {(id(o.parent), o.key) for site in sites if site.name in wholly for o in site.owners}
    assert set(patched_places(model)) == expected
    assert_unchanged(model, held, except_for=expected)
    assert {change.site for change in current_plan(model).changes} == wholly


class Planted(BaseException):
    """A failure that no code expects."""


@many
@given(recipes(), st.integers(0, 8), st.sampled_from(["building", "writing"]))
def test_a_failure_anywhere_leaves_the_model_as_it_was(recipe: Recipe, failing: int, stage: str) -> None:
    model = recipe.build().model
    stock, calls = snapshot(model), []

    def flaky(original: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: object) -> None:
            calls.append(None)
            if len(calls) == failing + 1:
                raise Planted
            original(*arguments)

        return call

    slot = SubmoduleOwner.__mro__[1]  # what all places that are no code have in common
    with pytest.MonkeyPatch.context() as planted:
        if stage == "building":
            planted.setattr(transaction, "hand_over", flaky(transaction.hand_over))
        else:
            planted.setattr(slot, "put", flaky(slot.put))
        try:
            patch_model(model, "relu", allow_empty=True)
        except Planted:
            assert snapshot(model) == stock
    if len(calls) <= failing:  # it was not reached: everything is patched
        unpatch_model(model)
    assert snapshot(model) == stock


@many
@given(recipes(), st.data(), TARGETS, TARGETS)
def test_stacked_patches_come_off_in_order_or_when_they_do_not_overlap(
    recipe: Recipe, data: st.DataObject, lower: str, upper: str
) -> None:
    model = recipe.build().model
    stock = snapshot(model)
    names = [site.name for site in find_sites(model) if site.is_gelu]
    assume(names)
    below, above = (data.draw(st.sets(st.sampled_from(names), min_size=1)) for _ in range(2))
    first = patch_model(model, lower, where=lambda site: site.name in below)
    under = patched_places(model)
    second = patch_model(model, upper, where=lambda site: site.name in above, allow_empty=True)
    over = patched_places(model)
    overlap = {change.site for change in first.replaced} & {change.site for change in second.replaced}
    order = data.draw(st.sampled_from(["newest first", "oldest first", "all at once"]), label="order")
    if order == "all at once":
        assert unpatch_model(model) == len(below | {change.site for change in second.replaced})
    elif order == "oldest first" and overlap:
        with pytest.raises(PatchConflict, match="a later patch lies on top"):
            first.revert()
        assert patched_places(model) == over, "a refused revert changed something"
        second.revert()
        assert patched_places(model) == under
        first.revert()
    elif order == "oldest first":
        first.revert()
        second.revert()
    else:
        second.revert()
        assert patched_places(model) == under
        first.revert()
    assert snapshot(model) == stock
    assert not first.active
    assert not second.active
    first.revert()  # once more is fine
    second.revert()
    assert snapshot(model) == stock


@many
@given(recipes(), TARGETS)
def test_a_second_time_is_refused_or_lies_on_top(recipe: Recipe, target: str) -> None:
    """``patch_model`` says that nothing is left to do; a plan fits only a model with the mathematics that it saw."""
    model = recipe.build().model
    stock, plan = snapshot(model), plan_patch(model, target)
    assume(plan.changes)
    first = apply_plan(model, plan)
    once = patched_places(model)
    with pytest.raises(NothingToPatch, match="it already is"):
        patch_model(model, target)
    if plan.changes_mathematics:
        with pytest.raises(PatchConflict, match="the plan does not fit this model"):
            apply_plan(model, plan)
        assert patched_places(model) == once
    else:
        with apply_plan(model, plan) as second:
            assert len(second) == len(first)
        assert patched_places(model) == once
    first.revert()
    assert snapshot(model) == stock


@many
@given(recipes(), TARGETS)
def test_a_copy_is_patched_alike_and_undone_alone(recipe: Recipe, target: str) -> None:
    built = recipe.build()
    model, before = built.model, outputs(built.model)
    patch_model(model, target, allow_empty=True)
    patched, held = outputs(model), snapshot(model)
    twin = copy.deepcopy(model)
    assert torch.equal(outputs(twin), patched)
    assert current_plan(twin) == current_plan(model)
    assert unpatch_model(twin) == len(current_plan(model).changes)
    assert torch.equal(outputs(twin), before)
    assert snapshot(model) == held
    assert not patched_places(twin)
