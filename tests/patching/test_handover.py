"""What a replacement takes over from the original, and gives back."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import nn

from gelu_patch.errors import PatchConflict
from gelu_patch.patching import patch_model, unpatch_model
from tests.zoo import Mlp, example_input, global_instance


def test_every_kind_of_hook_is_handed_over():
    model, seen = Mlp(nn.GELU()), []
    act = model.act
    act.register_forward_pre_hook(lambda *_: seen.append("pre"))
    act.register_forward_pre_hook(lambda m, args, kwargs: seen.append("pre with kwargs"), with_kwargs=True)
    act.register_forward_hook(lambda *_: seen.append("forward"))
    act.register_forward_hook(lambda m, args, kwargs, out: seen.append("with kwargs"), with_kwargs=True)
    act.register_forward_hook(lambda *_: seen.append("always"), always_call=True)
    act.register_full_backward_pre_hook(lambda *_: seen.append("backward pre"))
    act.register_full_backward_hook(lambda *_: seen.append("backward"))
    x = example_input().requires_grad_()
    model(x).sum().backward()
    stock, seen[:] = list(seen), []
    with patch_model(model, "relu"):
        model(x).sum().backward()
    assert seen == stock
    assert len(stock) == 7


def test_a_backward_hook_that_came_later_stays():
    """Which kind of backward hook a module has is a flag of its own, not a part of the shared dictionaries."""
    model, seen = Mlp(nn.GELU()), []
    patch = patch_model(model, "relu")
    model.act.register_full_backward_hook(lambda *_: seen.append(1))
    patch.revert()
    assert type(model.act) is nn.GELU
    model(example_input().requires_grad_()).sum().backward()
    assert seen == [1]


@pytest.mark.parametrize("training", [True, False])
def test_the_training_flag_follows(training):
    model = Mlp(nn.GELU()).train(training)
    patch = patch_model(model, "relu")
    assert model.act.training is training
    model.train(not training)
    patch.revert()
    assert model.act.training is not training


def test_a_hook_on_the_replacement_of_a_global_object_is_not_everybodys():
    from transformers.activations import gelu

    model, seen = global_instance(), []
    patch = patch_model(model, "relu")
    model.layers[0].act.register_forward_hook(lambda *_: seen.append(1))
    gelu(example_input())
    assert not seen, "other models of the process would run it"
    model(example_input())
    assert seen == [1, 1]
    patch.revert()
    model(example_input())
    assert seen == [1, 1]
    assert gelu._is_full_backward_hook is None


@pytest.mark.parametrize("undo", ["revert", "unpatch_model"])
def test_a_replacement_whose_forward_somebody_replaced_is_not_taken_away(undo):
    model = Mlp(nn.GELU())
    patch = patch_model(model, "relu")
    act = model.act
    act.forward = functools.partial(torch.mul, torch.tensor(2.0))
    with pytest.raises(PatchConflict) as refusal:
        patch.revert() if undo == "revert" else unpatch_model(model)
    assert (refusal.value.what, refusal.value.where) == ("cannot undo this patch", "act")
    assert refusal.value.why == "a hook was put on the replacement after the patch, as accelerate does"
    assert "remove_hook_from_module" in refusal.value.next_step
    assert model.act is act
    del act.forward
    patch.revert()
    assert type(model.act) is nn.GELU
