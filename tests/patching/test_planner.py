"""Targets, selectors and reasons."""

import functools
import re

import pytest
import torch
from torch import nn

from gelu_patch.activations import Activation, activations, register_activation
from gelu_patch.errors import DataError, DataNotFound, NothingToPatch, UnknownName, UsageError
from gelu_patch.kernels import Request, kernels, select
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
    loaded = Plan.load(plan.save(tmp_path / "not there yet" / "plan.json"))
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


def lines(plan):
    return [" ".join(line.split()) for line in str(plan).splitlines() if line.strip(" ─")]


def test_what_a_plan_prints(eager_only):
    model = Stack(Mlp(nn.GELU()), Mlp(nn.GELU("tanh")), Mlp(nn.GELU()), shared_instance())
    rules = {"layers.[02].*": "relu", "layers.1.*": "gelu_fused", "layers.3.layers.0.*": "silu"}
    assert lines(plan_patch(model, rules, memory="max")) == [
        "site now planned kernel owners",
        "layers.[0,2].act gelu (GELU) -> relu eager 1",
        "layers.1.act gelu_tanh (GELU) -> gelu_tanh eager 1",
        "left alone: layers.3.layers.0.act: one object under several names, which would be treated differently "
        "(layers.3.layers.0.act: relu, layers.3.layers.1.act: gelu_fused); select all of its names or none",
        "Stack: 3 of 4 GELU sites to patch (target layers.[02].*=relu, layers.1.*=gelu_fused, "
        "layers.3.layers.0.*=silu)",
        "memory: max",
        "this changes the mathematics; largest distance from exact GELU on [-8, 8]: relu 1.7e-01",
    ]
    assert lines(plan_patch(model, {"layers.[01].*": "silu", "*": "gelu_quick"}))[1:] == [
        "layers.0.act gelu (GELU) -> silu eager 1",
        "layers.1.act gelu_tanh (GELU) -> silu eager 1",
        "layers.2.act gelu (GELU) -> gelu_quick eager 1",
        "layers.3.layers.0.act gelu (GELU) -> silu eager 2",
        "Stack: 4 of 4 GELU sites to patch (target layers.[01].*=silu, *=gelu_quick)",
        "this changes the mathematics; largest distance from exact GELU on [-8, 8]: gelu_quick 2.0e-02, silu 1.9e-01",
    ]


def test_a_plan_says_that_a_gradient_is_approximate():
    text = lines(plan_patch(Mlp(nn.GELU()), "gelu_fewbit2"))
    assert text[-2:] == [
        "this changes the mathematics; largest distance from exact GELU on [-8, 8]: gelu_fewbit2 0.0e+00",
        "gelu_fewbit2: the gradient is approximate; the derivative of gelu is off by 0.09 (root mean square under "
        "N(0, 1)), at most 0.188",
    ]


def test_a_plan_that_does_nothing_has_no_table():
    assert lines(plan_patch(nn.Linear(2, 2), "relu")) == ["Linear: 0 of 0 GELU sites to patch (target relu)"]
    outside = plan_patch(Stack(Mlp(nn.GELU()), Mlp(nn.GELU())), "relu", where="layers.1.*")
    assert (outside.where, outside.target) == ("layers.1.*", "relu")
    assert "left alone: layers.0.act: outside where" in lines(outside)


def test_where_is_said_in_words():
    model = Stack(Mlp(nn.GELU()), Mlp(nn.GELU()))
    where = ["layers.0.*", re.compile(r"\.1\."), lambda site: True, functools.partial(bool)]
    text = plan_patch(model, "relu", where).where
    assert text.startswith(
        r"layers.0.*, \.1\., test_where_is_said_in_words.<locals>.<lambda>, functools.partial(<class 'bool'>"
    )
    assert plan_patch(model, "relu", re.compile("act")).where == "act"


def test_a_damaged_plan_says_what_is_wrong_and_where():
    with pytest.raises(DataError) as caught:
        Plan.from_dict(
            {"model": "x", "target": "relu", "changes": [{"site": "a"}], "memory": "less"}, where="plan.json"
        )
    error = caught.value
    assert error.where == "plan.json"
    assert error.why == "memory: Input should be 'speed', 'balanced' or 'max'"
    assert error.next_step == "make it again with gelu_patch.plan_patch(model, target).save(path)"
    with pytest.raises(DataError, match="the file: Input should be a valid dictionary"):
        Plan.from_dict([])


def test_plans_that_differ_name_each_site():
    model = Stack(Mlp(nn.GELU()), Mlp(nn.GELU()))
    one, other = plan_patch(model, "relu"), plan_patch(model, "relu", where="layers.0.*")
    assert one.diff(other) == ["layers.1.act: gelu -> relu by eager | left: outside where"]
    assert one.diff(plan_patch(Mlp(nn.GELU()), "relu")) == [
        "layers.0.act: gelu -> relu by eager | not in the plan",
        "layers.1.act: gelu -> relu by eager | not in the plan",
        "act: not in the plan | gelu -> relu by eager",
    ]


def test_an_activation_without_a_kernel_is_a_reason_that_names_every_kernel_asked():
    cube = Activation("cube", formula=lambda x: x**3, derivative=lambda x: 3 * x**2, summary="x^3", source="a test")
    register_activation(cube)
    try:
        (left,) = plan_patch(Mlp(nn.GELU()), "cube").rejected
    finally:
        activations.unregister("cube")
    assert "eager: " in left.reason
    assert not left.by_request, "nobody asked for that"
    assert all(f"{name}: " in left.reason for name in kernels.names())


def test_who_left_a_site_out_is_kept():
    model = Stack(Mlp(nn.GELU()), Mlp(nn.GELU()))
    act = nn.GELU()
    act.forward = functools.partial(act.forward)
    model.layers.append(Mlp(act))
    patch_model(model, "relu", where="layers.1.*")
    plan = plan_patch(model, {"layers.[12].*": "relu"}, where="layers.*")
    assert {r.site: r.by_request for r in plan.rejected} == {
        "layers.0.act": True, "layers.1.act": True, "layers.2.act": False,
    }  # fmt: skip
    assert plan.rejected[1].reason == "it already is relu by eager"
    (again,) = plan_patch(model, "relu", where="layers.1.*", memory="speed").changes
    assert again.before == "relu", "another memory mode is something to do"


def test_a_selector_that_matches_nothing_names_the_sites():
    model = Stack(*(Mlp(nn.GELU()) for _ in range(4)))
    with pytest.raises(NothingToPatch) as caught:
        plan_patch(model, "relu", where="decoder.*")
    assert caught.value.what == "'decoder.*' matches none of the 4 GELU sites"
    assert caught.value.why == "the sites are: layers.0.act, layers.1.act, layers.2.act, ..."
    assert caught.value.next_step == (
        "see all of them with gelu_patch.inspect_model(model), or `gelu-patch inspect`; "
        "a string is a glob, a regular expression is re.compile(...)"
    )
    with pytest.raises(NothingToPatch) as three:
        plan_patch(Stack(*(Mlp(nn.GELU()) for _ in range(3))), "relu", where=re.compile("xyz"))
    assert three.value.why == "the sites are: layers.0.act, layers.1.act, layers.2.act"
    assert three.value.what.startswith("'xyz' matches none")
