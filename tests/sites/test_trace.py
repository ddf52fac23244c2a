"""The runtime proof: every GELU that executes is seen, and said to be covered or not."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gelu_patch.errors import UnsupportedModel
from gelu_patch.sites import inspect_model
from tests.zoo import WIDTH, ZOO, Mlp, Stack, example_input, tiny_bert, tokens


@pytest.mark.parametrize("name", ZOO)
def test_every_execution_is_that_of_a_site(name):
    awkward = ZOO[name]
    census = inspect_model(awkward.build(), example_input())
    assert sum(census.executions.values()) == awkward.executions
    assert census.n_missed == 0
    assert not any(site.obstacle for site in census.sites)


def formula(function):
    class Formula(nn.Module):
        def __init__(self):
            super().__init__()
            self.up = nn.Linear(WIDTH, WIDTH)
            self.alpha = 1.702

        def forward(self, x):
            return function(self, self.up(x))

    return Formula()


def erf_by_hand(module, x):
    return x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0)))


def tanh_by_hand(module, x):
    return 0.5 * x * (1 + torch.tanh(0.7978845608 * (x + 0.044715 * x**3)))


@pytest.mark.parametrize(
    ("function", "activation"),
    [
        (lambda module, x: F.gelu(x), "gelu"),
        (lambda module, x: nn.functional.gelu(x, approximate="tanh"), "gelu_tanh"),
        (lambda module, x: x * torch.sigmoid(x * module.alpha), "gelu_quick"),
        (lambda module, x: x * (1.702 * x).sigmoid(), "gelu_quick"),
        (tanh_by_hand, "gelu_tanh"),
        (erf_by_hand, "gelu"),
    ],
)
def test_a_call_that_no_site_covers_is_found_with_its_place(function, activation):
    census = inspect_model(formula(function), example_input())
    ((call, count),) = census.uncovered.items()
    assert (call.activation, count) == (activation, 1)
    assert call.file == __file__
    assert call.line == function.__code__.co_firstlineno + (function.__name__ != "<lambda>")
    assert f"not covered: a call at {call.location}" in str(census)


@pytest.mark.parametrize(
    "function",
    [lambda module, x: torch.tanh(x), lambda module, x: torch.sigmoid(x), lambda module, x: torch.erf(x)],
)
def test_other_uses_of_the_same_ops_are_no_gelu(function):
    assert inspect_model(formula(function), example_input()).uncovered == {}


def test_the_global_gelu_of_a_language_model_head_is_placed_where_the_model_calls_it():
    from transformers import RobertaConfig, RobertaForMaskedLM

    model = RobertaForMaskedLM(
        RobertaConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, vocab_size=99)
    )
    census = inspect_model(model, tokens())
    head = census.sites[-1]
    assert head.name == "lm_head.forward.gelu"
    assert head.implementation.startswith("gelu at modeling_roberta.py:")
    assert (census.executions[head.name], census.uncovered) == (1, {})


def test_the_model_is_left_as_it_was():
    model = tiny_bert()
    model.train()
    model.bert.pooler = None
    model.cls.eval()
    flags = [module.training for module in model.modules()]
    hooks = [len(module._forward_hooks) for module in model.modules()]
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    inspect_model(model, tokens())
    assert torch.rand(1) == expected
    assert [module.training for module in model.modules()] == flags
    assert [len(module._forward_hooks) for module in model.modules()] == hooks


def test_inputs_may_be_a_mapping_a_tuple_or_a_tensor():
    ids = tokens()["input_ids"]
    for inputs in (tokens(), (ids,), [ids], ids):
        assert sum(inspect_model(tiny_bert(), inputs).executions.values()) == 4


@pytest.mark.parametrize("inputs", [torch.randn(2, 3), {"wrong": torch.ones(1)}, (1, 2, 3, 4)])
def test_inputs_that_do_not_fit_are_an_error_and_leave_no_hooks(inputs):
    model = Stack(Mlp(nn.GELU()))
    with pytest.raises(UnsupportedModel, match="running Stack on the example inputs failed"):
        inspect_model(model, inputs)
    assert not any(module._forward_hooks for module in model.modules())


def test_without_inputs_nothing_is_claimed_about_executions():
    census = inspect_model(ZOO["inline beside a site"].build())
    assert census.executions is None
    assert census.n_missed is None
    assert "not proven by a run" in str(census)
