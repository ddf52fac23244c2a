"""What is patched on a model right now."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gelu_patch.kernels import Accepted, Rejected, kernels
from gelu_patch.patching import apply_plan, current_plan, fallen_back, patch_model, plan_patch
from gelu_patch.patching.current import current_activations, patched_parts, request_at
from gelu_patch.sites import find_sites
from tests.zoo import Mlp, Stack, example_input, global_instance, tiny_bert


def test_a_stock_model_has_an_empty_plan():
    plan = current_plan(tiny_bert())
    assert (plan.changes, plan.target, plan.model, plan.memory) == ((), "stock", "BertForMaskedLM", "balanced")
    assert not patched_parts(tiny_bert())


def test_the_plan_of_several_patches_is_one_from_the_stock_state():
    model = Stack(Mlp(nn.GELU()), Mlp(nn.GELU("tanh")), Mlp(nn.GELU()), Mlp(nn.GELU()))
    patch_model(model, "gelu_fused", where="layers.[01].*")
    patch_model(model, "relu", where="layers.2.*")
    patch_model(model, "silu", where="layers.2.*")
    plan = current_plan(model)
    assert [(c.site, c.before, c.after) for c in plan.changes] == [
        ("layers.0.act", "gelu", "gelu"), ("layers.1.act", "gelu_tanh", "gelu_tanh"), ("layers.2.act", "gelu", "silu"),
    ]  # fmt: skip
    assert plan.target == "gelu_fused, silu"
    assert {c.implementation for c in plan.changes} == {"GELU"}
    assert all(c.form == "module" for c in plan.changes)
    fresh = Stack(Mlp(nn.GELU()), Mlp(nn.GELU("tanh")), Mlp(nn.GELU()), Mlp(nn.GELU()))
    fresh.load_state_dict(model.state_dict())
    apply_plan(fresh, plan)
    assert torch.equal(fresh(example_input()), model(example_input()))
    assert current_plan(fresh) == plan


@pytest.mark.parametrize("modes", [("max", "max"), ("speed", "speed"), ("speed", "max")])
def test_memory_is_said_when_all_sites_have_the_same(modes):
    model = Stack(Mlp(nn.GELU()), Mlp(nn.GELU()))
    for number, mode in enumerate(modes):
        patch_model(model, "gelu_fused", where=f"layers.{number}.*", memory=mode)
    assert current_plan(model).memory == (modes[0] if len(set(modes)) == 1 else "balanced")


def test_owners_of_a_shared_object_are_named_once_each():
    model = global_instance()
    patch_model(model, "relu")
    (change,) = current_plan(model).changes
    assert change.owners == ("layers.0.act", "layers.1.act")
    assert len(patched_parts(model)) == 1
    assert current_activations(model) == {"layers.0.act": "relu", "layers.1.act": "relu"}


def test_a_kernel_that_no_longer_serves_is_named_with_its_reason(monkeypatch):
    model = Stack(Mlp(nn.GELU()), Mlp(nn.GELU()))
    patch_model(model, "gelu_fused", where="layers.0.*")
    assert fallen_back(model) == {}
    kernel = kernels.get(current_plan(model).changes[0].kernel)
    asked = []

    def answer(answered):
        def call(self, request):
            asked.append(request)
            return answered

        monkeypatch.setattr(type(kernel), "answer", call)

    answer(Rejected("it has no float64"))
    assert fallen_back(model.double()) == {"layers.0.act": "it has no float64"}
    assert [(r.activation, r.device, r.dtype) for r in asked] == [("gelu", "cpu", torch.float64)]
    answer(Rejected("not on this device", elsewhere=True))
    assert fallen_back(model) == {}, "there, the best kernel of that device serves"
    bare = nn.Sequential(nn.Linear(8, 8), nn.Sequential(nn.GELU())).double()
    answer(Accepted())
    patch_model(bare, "gelu_fused")
    asked.clear()
    fallen_back(bare)
    assert asked[-1].dtype == torch.float64, "where the parent has no parameters, those of the model count"
    answer(Accepted("fine"))
    assert fallen_back(model) == {}


def test_a_kernel_is_asked_for_the_dtype_of_the_neighbours():
    """The parameters of the parent count, then those of the model, then the default dtype; integers never."""
    model = Stack(Mlp(nn.GELU()).half(), Mlp(nn.GELU()))
    first, second = find_sites(model)
    assert request_at(model, first, "relu").dtype == torch.float16
    assert request_at(model, second, "relu").dtype == torch.float32
    assert request_at(model, second, "relu").activation == "relu"
    bare = nn.Sequential(nn.GELU())
    (site,) = find_sites(bare)
    assert request_at(bare, site, "gelu") == request_at(bare, site, "gelu")
    assert (request_at(bare, site, "gelu").device, request_at(bare, site, "gelu").dtype) == ("cpu", torch.float32)
    around = nn.ModuleDict({"bare": bare, "scale": nn.Linear(2, 2).to(torch.bfloat16)})
    assert request_at(around, site, "gelu").dtype == torch.bfloat16
    bare.register_parameter("codes", nn.Parameter(torch.zeros(2, dtype=torch.int8), requires_grad=False))
    assert request_at(around, site, "gelu").dtype == torch.bfloat16
    assert request_at(Mlp(nn.GELU()).to("meta"), *find_sites(Mlp(nn.GELU()).to("meta")), "gelu").device == "meta"


def test_activations_of_a_stock_model_are_named_at_every_path():
    found = current_activations(tiny_bert())
    assert set(found.values()) == {"gelu"}
    assert set(found) == {change.site for change in plan_patch(tiny_bert(), "relu").changes}
