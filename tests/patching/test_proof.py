"""patch_model(..., example_inputs=x): nothing survives, everything replaced runs, or the patch is undone."""

import functools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gelu_patch.errors import GeluSurvives, UnsupportedModel
from gelu_patch.kernels import KernelActivation
from gelu_patch.patching import patch_model
from gelu_patch.sites import find_sites
from tests.zoo import WIDTH, ZOO, Inline, Mlp, Stack, example_input, tiny_bert, tokens


@pytest.mark.parametrize("name", ZOO)
def test_every_awkward_model_is_proven(name):
    model = ZOO[name].build()
    patch = patch_model(model, "relu", example_inputs=example_input())
    assert patch.active


def bias_gelu(bias, x):
    return F.gelu(bias + x)


class OutOfReach(nn.Module):
    """The GELU is in a function of two tensors, which no finder reads."""

    def __init__(self):
        super().__init__()
        self.up = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        return bias_gelu(self.up.bias, self.up(x))


def is_stock(model):
    return not any(isinstance(site.target, KernelActivation) for site in find_sites(model))


def test_a_survivor_is_named_and_the_patch_undone():
    model = Stack(Mlp(nn.GELU()), OutOfReach())
    with pytest.raises(GeluSurvives, match="1 executed GELU of Stack cannot be replaced") as caught:
        patch_model(model, "relu", example_inputs=example_input())
    assert f"gelu at {__file__.rsplit('/', 1)[0]}" in caught.value.where
    assert f":{bias_gelu.__code__.co_firstlineno + 1}, run by layers.1" in caught.value.where
    assert "where=" in caught.value.next_step
    assert is_stock(model)


def obstructed():
    act = nn.GELU()
    act.forward = functools.partial(nn.GELU.forward, act)
    return Stack(Mlp(act), Mlp(nn.GELU()))


def test_a_site_that_cannot_be_replaced_and_runs_is_a_survivor():
    model = obstructed()
    with pytest.raises(GeluSurvives, match="cannot be replaced") as caught:
        patch_model(model, "relu", example_inputs=example_input())
    assert "layers.0.act: its forward is replaced on the instance" in caught.value.where
    assert is_stock(model)


def test_what_the_caller_left_out_may_survive():
    model = obstructed()
    patch = patch_model(model, "relu", where="layers.1.*", example_inputs=example_input())
    assert [change.site for change in patch.replaced] == ["layers.1.act"]
    model = Stack(Inline(), Inline())
    assert len(patch_model(model, {"layers.0.*": "relu"}, example_inputs=example_input())) == 1
    assert len(patch_model(model, "relu", example_inputs=example_input())) == 1


class Moody(nn.Module):
    """Runs its activation once, then twice, then three times."""

    def __init__(self):
        super().__init__()
        self.act = nn.GELU()
        self.runs = 0

    def forward(self, x):
        self.runs += 1
        for _ in range(self.runs):
            x = self.act(x)
        return x


def test_a_replacement_that_runs_more_often_than_the_original_is_reported():
    model = Moody()
    with pytest.raises(GeluSurvives, match="do not run as the originals did") as caught:
        patch_model(model, "relu", example_inputs=example_input())
    assert caught.value.where == "act ran 1 times before and 2 times after"
    assert is_stock(model)


def test_inputs_that_do_not_fit_leave_the_model_alone():
    model = tiny_bert()
    with pytest.raises(UnsupportedModel, match="running BertForMaskedLM on the example inputs failed"):
        patch_model(model, "relu", example_inputs={"nonsense": torch.ones(1)})
    assert is_stock(model)
    assert len(patch_model(model, "gelu_fused", example_inputs=tokens())) == 4
