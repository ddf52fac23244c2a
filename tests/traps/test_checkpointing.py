"""Gradient checkpointing: the activation runs again in the backward pass."""

from __future__ import annotations

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from gelu_patch.errors import PatchConflict
from gelu_patch.patching import patch_model, unpatch_model
from tests.traps.helpers import (
    TARGETS,
    TOYS,
    assert_same,
    every_pretrained,
    every_target,
    gradients,
    output,
    rows,
    trap,
    without_dropout,
)

every_mode = pytest.mark.parametrize("reentrant", [False, True], ids=["non-reentrant", "reentrant"])
every_order = pytest.mark.parametrize("order", ["patch, then enable", "enable, then patch"])


def enable(model, reentrant):
    if hasattr(model, "activation_checkpointing_enable"):  # the new name
        model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": reentrant})
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})
    model.enable_input_require_grads()
    return model.train()


@every_pretrained
@every_target
@every_mode
@every_order
def test_gradients_are_those_without_checkpointing(case, target, reentrant, order):
    expected = gradients(without_dropout(case.stock(TARGETS[target])).train(), case.inputs())
    model = without_dropout(case.stock())
    if order == "patch, then enable":
        patch_model(model, target)
    enable(model, reentrant)
    if order == "enable, then patch":
        patch_model(model, target)
    calls = []
    for name, module in model.named_modules():
        if name.endswith(case.up):
            module.register_forward_hook(lambda *_: calls.append(1))
    assert_same(gradients(model, case.inputs()), expected)
    assert len(calls) > case.n_sites, "nothing was computed again"


def waiting(reentrant):
    """A toy whose forward was checkpointed, the loss that waits for its backward, and the right gradients."""
    model, x = TOYS["submodule"].stock().train(), rows()["x"].requires_grad_()
    right = gradients(model, {"x": x})
    model.zero_grad()
    return model, checkpoint(model, x, use_reentrant=reentrant).square().mean(), right


def gradients_of(model):
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@trap(32)
@every_mode
def test_a_patch_of_the_same_mathematics_before_the_backward_is_right(reentrant):
    model, loss, right = waiting(reentrant)
    with patch_model(model, "gelu_fused"):
        loss.backward()
    assert_same(gradients_of(model), right)


@trap(32)
@every_mode
def test_a_patch_that_changes_the_mathematics_before_the_backward_is_refused(reentrant):
    """The gradients would belong to neither function, and the tensors look alike to PyTorch's own check."""
    model, loss, right = waiting(reentrant)
    with pytest.raises(PatchConflict, match="backward") as refusal:
        patch_model(model, "relu")
    assert "backward()" in refusal.value.next_step
    loss.backward()
    assert_same(gradients_of(model), right)
    patch_model(model, "relu")  # between steps it is fine


@trap(32)
@every_mode
@pytest.mark.parametrize("undo", ["revert", "unpatch_model"])
def test_undoing_it_before_the_backward_is_refused(reentrant, undo):
    model, x = TOYS["submodule"].stock().train(), rows()["x"].requires_grad_()
    patch = patch_model(model, "relu")
    right = gradients(model, {"x": x})
    model.zero_grad()
    loss = checkpoint(model, x, use_reentrant=reentrant).square().mean()
    with pytest.raises(PatchConflict, match="backward"):
        patch.revert() if undo == "revert" else unpatch_model(model)
    loss.backward()
    assert_same(gradients_of(model), right)
    patch.revert()
    assert torch.equal(output(model, {"x": x}), output(TOYS["submodule"].stock(), {"x": x}))
