"""Hooks on activations and Linears: kept in both directions, and they see the right values."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers.activations import NewGELUActivation

from gelu_patch.patching import patch_model
from tests.traps.helpers import TARGETS, assert_same, every_case, every_target, lively, output, rows, trap
from tests.zoo import Mlp

ACTIVATIONS = {"nn.GELU": nn.GELU, "NewGELUActivation": NewGELUActivation}


def linears(model, case):
    return [module for name, module in model.named_modules() if name.endswith(case.up)]


def watch(modules):
    """Record what goes into and comes out of the modules."""
    seen = {}
    for index, module in enumerate(modules):
        module.register_forward_pre_hook(lambda m, args, i=index: seen.update({f"{i} in": args[0].detach()}))
        module.register_forward_hook(lambda m, args, out, i=index: seen.update({f"{i} out": out.detach()}))
        module.register_full_backward_hook(lambda m, into, out, i=index: seen.update({f"{i} grad": out[0]}))
    return seen


@trap(30)
@every_case
@every_target
@pytest.mark.parametrize("order", ["hooks, then patch", "patch, then hooks"])
def test_a_hook_on_the_linear_sees_values_before_the_activation(case, target, order):
    found, expected = case.stock(), case.stock(TARGETS[target])
    if order == "patch, then hooks":
        patch_model(found, target)
    seen, reference = watch(linears(found, case)), watch(linears(expected, case))
    if order == "hooks, then patch":
        patch_model(found, target)
    for model in (found, expected):
        inputs = {name: value.requires_grad_(value.is_floating_point()) for name, value in case.inputs().items()}
        output(model, inputs).square().mean().backward()
    assert len(seen) == 3 * case.n_sites
    assert_same(seen, reference)
    assert min(float(value.min()) for name, value in seen.items() if name.endswith("out")) < -0.5  # not activated


def toy(act):
    torch.manual_seed(0)
    return lively(Mlp(act()))


@trap(9)
@pytest.mark.parametrize("act", ACTIVATIONS.values(), ids=ACTIVATIONS)
def test_hooks_on_the_activation_see_its_values_through_patch_and_revert(act):
    """Put on before a patch, they stay in it and after it; put on during a patch, they stay after it."""
    early, late, reference = toy(act), toy(act), toy(act)
    of_early, of_reference = watch([early.act]), watch([reference.act])
    output(reference, rows()).square().mean().backward()
    for model in (early, late):
        patch = patch_model(model, "gelu_fused")
        if model is late:
            of_late = watch([late.act])
        seen = of_early if model is early else of_late
        output(model, rows()).square().mean().backward()
        assert_same(seen, of_reference)
        seen.clear()
        patch.revert()
        output(model, rows()).square().mean().backward()
        assert_same(seen, of_reference)


@pytest.mark.parametrize("act", ACTIVATIONS.values(), ids=ACTIVATIONS)
def test_a_full_backward_hook_put_on_during_a_patch_stays_a_full_one(act):
    """Otherwise it sees the gradient of the last operation inside of the activation."""
    model, reference = toy(act), toy(act)
    seen = {}
    with patch_model(model, "gelu_fused"):
        model.act.register_full_backward_hook(lambda m, into, out: seen.update(found=into[0]))
    reference.act.register_full_backward_hook(lambda m, into, out: seen.update(expected=into[0]))
    for each in (model, reference):
        output(each, rows()).square().mean().backward()
    assert_same(seen["found"], seen["expected"])


@trap(9)
def test_a_hook_that_changes_the_output_still_does():
    model, reference = toy(nn.GELU), toy(nn.ReLU)
    handles = [each.act.register_forward_hook(lambda m, args, out: 2 * out) for each in (model, reference)]
    stock = output(model, rows())
    patch = patch_model(model, "relu")
    assert_same(output(model, rows()), output(reference, rows()))
    for handle in handles:
        handle.remove()
    assert_same(output(model, rows()), output(reference, rows()))
    handles[0] = model.act.register_forward_hook(lambda m, args, out: 2 * out)
    patch.revert()
    assert torch.equal(output(model, rows()), stock)
    handles[0].remove()
    assert not torch.equal(output(model, rows()), stock)


def test_a_hook_on_a_patched_site_is_not_seen_by_other_models_that_share_the_original(monkeypatch):
    """`transformers.activations.gelu` is one object for all models of the process."""
    from transformers.activations import gelu

    for name in ("_forward_hooks", "_forward_pre_hooks"):  # whatever leaks ends with the test
        monkeypatch.setattr(gelu, name, type(getattr(gelu, name))())
    model, other = Mlp(gelu), Mlp(gelu)
    seen = []
    patch = patch_model(model, "relu")
    model.act.register_forward_hook(lambda *_: seen.append("patched model"))
    other(rows()["x"])
    assert not seen
    model(rows()["x"])
    assert seen == ["patched model"]
    patch.revert()
    other(rows()["x"])
    assert seen == ["patched model"]
