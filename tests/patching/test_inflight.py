"""A checkpointed forward that waits for its backward is found, whatever was checkpointed."""

from __future__ import annotations

import functools

import pytest
from torch import nn
from torch.utils.checkpoint import checkpoint

from gelu_patch.errors import PatchConflict
from gelu_patch.patching import patch_model
from gelu_patch.patching.inflight import refuse_inside_a_step
from tests.zoo import Mlp, Stack, example_input

MODEL = Stack(Mlp(nn.GELU()), Mlp(nn.GELU()))

# What people give to `checkpoint`: modules, methods, partials (as Transformers does), closures and plain functions.
CHECKPOINTED = {
    "module": MODEL,
    "block": MODEL.layers[0],
    "method": MODEL.forward,
    "partial": functools.partial(MODEL.layers[1].__call__),
    "closure": (lambda model: lambda x: model(x))(MODEL.layers[1]),
    "global": lambda x: MODEL(x),
    "default": lambda x, block=MODEL.layers[0]: block(x),
}


@pytest.fixture(autouse=True)
def _training():
    MODEL.train()
    yield
    MODEL.eval()


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("name", CHECKPOINTED)
def test_waiting_until_backward_or_until_the_loss_is_dropped(name, reentrant):
    x = example_input().requires_grad_()
    refuse_inside_a_step(MODEL)
    loss = checkpoint(CHECKPOINTED[name], x, use_reentrant=reentrant).sum()
    with pytest.raises(PatchConflict, match="middle of a training step") as refusal:
        refuse_inside_a_step(MODEL)
    assert "loss.backward()" in refusal.value.next_step
    kept_by = "gradient checkpointing (use_reentrant=True)" if reentrant else "gradient checkpointing"
    assert refusal.value.why.startswith(f"{kept_by} will run its forward again")
    loss.backward()
    refuse_inside_a_step(MODEL)  # the loss is still there, the step is over
    loss = checkpoint(CHECKPOINTED[name], x, use_reentrant=reentrant).sum()
    del loss
    refuse_inside_a_step(MODEL)


@pytest.mark.parametrize("reentrant", [False, True])
def test_another_model_in_its_step_is_no_obstacle(reentrant):
    other = Stack(Mlp(nn.GELU())).train()
    loss = checkpoint(other, example_input().requires_grad_(), use_reentrant=reentrant).sum()
    refuse_inside_a_step(MODEL)
    with pytest.raises(PatchConflict):
        refuse_inside_a_step(other)
    del loss


def test_a_model_that_serves_is_not_searched(monkeypatch):
    monkeypatch.setattr("gelu_patch.patching.inflight._waiting", lambda: pytest.fail("it was"))
    refuse_inside_a_step(MODEL.eval())


@pytest.mark.parametrize("target", ["relu", "gelu_fused"])
def test_a_patch_comes_off_inside_a_step_only_when_the_mathematics_stays(target):
    model = Stack(Mlp(nn.GELU()), Mlp(nn.GELU())).train()
    patch = patch_model(model, target)
    loss = checkpoint(model, example_input().requires_grad_(), use_reentrant=False).sum()
    if target == "relu":
        with pytest.raises(PatchConflict, match="middle of a training step"):
            patch.revert()
        assert patch.active
        loss.backward()
    patch.revert()
    assert not patch.active


@pytest.mark.parametrize("target", ["relu", "gelu_fused"])
def test_a_patch_goes_on_inside_a_step_only_when_the_mathematics_stays(target):
    model = Stack(Mlp(nn.GELU()), Mlp(nn.GELU())).train()
    loss = checkpoint(model, example_input().requires_grad_(), use_reentrant=False).sum()
    if target == "gelu_fused":
        patch_model(model, target)
    else:
        with pytest.raises(PatchConflict, match="middle of a training step"):
            patch_model(model, target)
        assert all(type(layer.act) is nn.GELU for layer in model.layers)
    loss.backward()
