"""Targets, selectors and reasons."""

import functools
import re

import pytest
import torch
from torch import nn

from gelu_patch.errors import DataError, DataNotFound, NothingToPatch, UnknownName, UsageError
from gelu_patch.kernels import Request, select
from gelu_patch.patching import Plan, patch_model, plan_patch
from tests.zoo import Mlp, Stack, shared_instance, shared_parent, tiny_bert, tiny_gpt2

BERT_HEAD = "cls.predictions.transform.transform_act_fn"


def after(plan):
    return [change.after for change in plan.changes]


def test_same_mathematics_keeps_each_flavour():
    model = Stack(Mlp(nn.GELU()), Mlp(nn.GELU("tanh")))
    plan = plan_patch(model, "gelu_fused")
    assert after(plan) == ["gelu", "gelu_tanh"]
    assert not plan.changes_mathematics
    assert plan_patch(model, "gelu_tanh").changes_mathematics


@pytest.mark.parametrize(
    ("alias", "name"), [("gelu_new", "gelu_tanh"), ("quick_gelu", "gelu_quick"), ("swish", "silu")]
)
def test_names_of_act2fn_are_aliases(alias, name):
    assert after(plan_patch(tiny_gpt2(), alias)) == [name, name]


@pytest.mark.parametrize(
    ("where", "count"),
    [
        (None, 4),
        ("*", 4),
        ("bert.encoder.layer.[01].*", 2),
        ("encoder.layer.[0-1].*", 2),
        ("layer.2.*", 1),
        (BERT_HEAD, 1),
        ("transform_act_fn", 1),
        (re.compile(r"layer\.(0|2)\."), 2),
        (lambda site: site.form == "module" and "cls" in site.name, 1),
        (["layer.0.*", re.compile("^cls")], 2),
    ],
)
def test_where(where, count):
    plan = plan_patch(tiny_bert(), "relu", where)
    assert len(plan.changes) == count
    assert [reason for _, reason in plan.rejected] == ["outside where"] * (4 - count)


def test_a_mapping_gives_each_site_the_first_rule_that_matches():
    plan = plan_patch(tiny_bert(), {"layer.0.*": "relu", "encoder.*": "gelu_fused"})
    assert after(plan) == ["relu", "gelu", "gelu"]
    (left,) = plan.rejected
    assert (left.site, left.reason) == (BERT_HEAD, "no entry of the target mapping matches it")


@pytest.mark.parametrize("where", ["decoder.*", ["layer.0.*", "layer.7.*"], re.compile("xyz"), lambda site: False])
def test_a_selector_that_matches_nothing_is_an_error(where):
    with pytest.raises(NothingToPatch, match="matches none of the 4 GELU sites"):
        plan_patch(tiny_bert(), "relu", where)


def test_a_glob_of_the_mapping_that_matches_nothing_is_an_error():
    with pytest.raises(NothingToPatch, match=re.escape("'decoder.*' matches none")):
        plan_patch(tiny_bert(), {"encoder.*": "relu", "decoder.*": "relu"})


@pytest.mark.parametrize("build", [shared_instance, shared_parent])
def test_a_shared_object_is_replaced_everywhere_or_nowhere(build):
    plan = plan_patch(build(), "relu", where="layers.0.*")
    assert not plan.changes
    assert "one object under several names" in plan.rejected[0].reason
    assert "layers.1.act: left" in plan.rejected[0].reason
    plan = plan_patch(build(), {"layers.0.*": "relu", "layers.1.*": "silu"})
    assert "layers.0.act: relu, layers.1.act: silu" in plan.rejected[0].reason
    (change,) = plan_patch(build(), {"layers.0.*": "relu", "layers.1.*": "relu"}).changes
    assert change.owners == ("layers.0.act", "layers.1.act")


@pytest.mark.parametrize(
    ("target", "hint"), [("gelu_fussed", "'gelu_fused'"), ("rellu", "'relu'"), ("gelu_tahn", "'gelu_tanh'")]
)
def test_an_unknown_target_suggests_near_ones(target, hint):
    with pytest.raises(UnknownName, match=f"did you mean .*{hint}"):
        plan_patch(tiny_bert(), target)


@pytest.mark.parametrize("target", [{}, None, 3, ["relu"]])
def test_what_is_no_target_is_a_usage_error(target):
    with pytest.raises(UsageError, match="is no target"):
        plan_patch(tiny_bert(), target)


def test_what_is_no_selector_is_a_usage_error():
    with pytest.raises(UsageError, match="is no selector"):
        plan_patch(tiny_bert(), "relu", [3])


def test_an_obstacle_is_a_reason():
    act = nn.GELU()
    act.forward = functools.partial(act.forward)
    (left,) = plan_patch(Mlp(act), "relu").rejected
    assert "accelerate" in left.reason


@pytest.mark.parametrize("activation", ["gelu", nn.GELU()])
def test_the_fast_path_of_torch_is_an_obstacle(activation):
    layer = nn.TransformerEncoderLayer(8, 2, 16, activation=activation, batch_first=True).eval()
    (left,) = plan_patch(layer, "relu").rejected
    assert "activation_relu_or_gelu = 0" in left.reason
    layer.activation_relu_or_gelu = 0
    patch_model(layer, "relu")
    x = torch.randn(2, 3, 8)
    stock = nn.TransformerEncoderLayer(8, 2, 16, activation="relu", batch_first=True).eval()
    stock.load_state_dict(layer.state_dict())
    with torch.no_grad():
        assert torch.allclose(layer(x), stock(x), atol=1e-6)


def test_a_plan_is_data(tmp_path):
    model = tiny_bert()
    plan = plan_patch(model, {"layer.0.*": "relu", "*": "gelu_fused"})
    loaded = Plan.load(plan.save(tmp_path / "plan.json"))
    assert loaded == plan
    assert plan.diff(loaded) == []
    other = plan_patch(model, "gelu_fused")
    best = select(Request("gelu", "cpu", torch.float32)).kernel.name
    assert plan.diff(other) == [
        f"bert.encoder.layer.0.intermediate.intermediate_act_fn: gelu -> relu by eager | gelu -> gelu by {best}"
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "cannot read"),
        ("[]", "no plan that this version"),
        ('{"version": 2, "model": "x", "target": "relu"}', "version"),
        ('{"model": "x", "target": "relu", "changes": [{"site": "a"}]}', "changes.0"),
    ],
)
def test_a_damaged_plan_is_refused(tmp_path, text, reason):
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(DataError, match=reason):
        Plan.load(path)
    with pytest.raises(DataNotFound, match="there is no plan"):
        Plan.load(tmp_path / "absent.json")
