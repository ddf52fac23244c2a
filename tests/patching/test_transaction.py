"""Replace everywhere or nowhere; undo by identity; never a half-patched model."""

import copy
import io
import pickle
import re

import pytest
import torch
from torch import nn

from gelu_patch.errors import NothingToPatch, PatchConflict
from gelu_patch.kernels import KernelActivation, Request, select
from gelu_patch.patching import apply_plan, patch_model, plan_patch, unpatch_model
from gelu_patch.sites import find_sites
from gelu_patch.sites.base import SubmoduleOwner
from gelu_patch.sites.inline import InlineOwner
from tests.zoo import ZOO, Inline, Mlp, Stack, example_input, logits, shared_instance, tiny_bert, tiny_gpt2, tiny_llama


def owners_of(model):
    return [(owner, owner.current) for site in find_sites(model) for owner in site.owners]


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("target", ["gelu_fused", "relu"])
def test_patch_and_revert(name, target):
    model = ZOO[name].build()
    other = ZOO[name].build()
    other.load_state_dict(model.state_dict())
    x = example_input()
    before, keys, held = model(x), list(model.state_dict()), owners_of(model)
    patch = patch_model(model, target)
    assert list(model.state_dict()) == keys
    assert all(isinstance(owner.current, KernelActivation) for owner, _ in held)
    if target == "gelu_fused":
        assert torch.allclose(model(x), before, atol=1e-6)
    else:
        assert not torch.allclose(model(x), before, atol=1e-3)
    assert torch.equal(other(x), before), "a second model of the same class changed"
    patch.revert()
    assert all(owner.current is thing for owner, thing in held)
    assert torch.equal(model(x), before)
    patch.revert()  # twice is fine
    assert torch.equal(model(x), before)


@pytest.mark.parametrize("build", [tiny_bert, tiny_gpt2])
def test_real_architectures(build):
    model = build()
    before, held = logits(model), owners_of(model)
    with patch_model(model, "gelu_fused") as patch:
        assert (logits(model) - before).abs().max() <= 1e-5
        assert len(patch) == len(held)
        assert not patch.rejected
    assert torch.equal(logits(model), before)
    assert all(owner.current is thing for owner, thing in held)


def test_gradients_of_the_same_mathematics():
    x = example_input()
    model = ZOO["tanh"].build()
    model(x).sum().backward()
    before = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    with patch_model(model, "gelu_fused"):
        model(x).sum().backward()
    for parameter, gradient in zip(model.parameters(), before, strict=True):
        assert torch.allclose(parameter.grad, gradient, atol=1e-6)


def test_a_patch_may_lie_on_a_patch_and_comes_off_first():
    model = tiny_bert()
    before = logits(model)
    first = patch_model(model, "relu")
    under = logits(model)
    second = patch_model(model, "gelu_tanh")
    with pytest.raises(PatchConflict, match="later patch lies on top"):
        first.revert()
    second.revert()
    assert torch.equal(logits(model), under)
    first.revert()
    assert torch.equal(logits(model), before)


def test_patches_of_different_sites_come_off_in_any_order():
    model = tiny_bert()
    before = logits(model)
    first = patch_model(model, "relu", where="layer.0.*")
    second = patch_model(model, "relu", where="layer.1.*")
    first.revert()
    second.revert()
    assert torch.equal(logits(model), before)


def test_patching_twice_alike_says_so():
    model = tiny_bert()
    patch_model(model, "gelu_fused")
    best = select(Request("gelu", "cpu", torch.float32)).kernel.name
    with pytest.raises(NothingToPatch, match=re.escape(f"it already is gelu by {best} (4 sites)")):
        patch_model(model, "gelu_fused")
    assert len(patch_model(model, "gelu_fused", allow_empty=True)) == 0


def test_a_site_that_somebody_else_changed_is_not_touched():
    model = Stack(Mlp(nn.GELU()), Mlp(nn.GELU()))
    patch = patch_model(model, "relu")
    model.layers[1].act = nn.Tanh()
    with pytest.raises(PatchConflict, match="somebody else changed"):
        patch.revert()
    assert isinstance(model.layers[0].act, KernelActivation), "half of the patch was undone"


@pytest.mark.parametrize("failing", [0, 1, 2, 3])
def test_a_failure_in_the_middle_leaves_the_model_as_it_was(monkeypatch, failing):
    model = Stack(Mlp(nn.GELU()), Inline(), Mlp(nn.GELU()), Inline())
    held, before = owners_of(model), model(example_input())
    calls = []

    def flaky(put, owner, thing):
        calls.append(thing)
        if len(calls) == failing + 1:
            raise KeyboardInterrupt
        put(owner, thing)

    for kind in (SubmoduleOwner, InlineOwner):
        put = kind.put
        monkeypatch.setattr(kind, "put", lambda owner, thing, put=put: flaky(put, owner, thing))
    with pytest.raises(KeyboardInterrupt):
        patch_model(model, "relu")
    assert all(owner.current is thing for owner, thing in held)
    assert torch.equal(model(example_input()), before)


def test_training_mode_is_kept_in_both_directions():
    model = tiny_bert().eval()
    patch = patch_model(model, "gelu_fused")
    assert not any(module.training for module in model.modules())
    model.train()
    patch.revert()
    assert all(module.training for module in model.modules())


def test_hooks_stay_on_the_site():
    model = Mlp(nn.GELU())
    seen = []
    handle = model.act.register_forward_hook(lambda *_: seen.append("early"))
    patch = patch_model(model, "relu")
    model.act.register_forward_hook(lambda *_: seen.append("late"))
    model(example_input())
    assert seen == ["early", "late"]
    handle.remove()
    patch.revert()
    seen.clear()
    model(example_input())
    assert seen == ["late"]


def test_unpatch_model_undoes_everything():
    model = tiny_bert()
    before, held = logits(model), owners_of(model)
    patch = patch_model(model, "relu")
    later = patch_model(model, "gelu_tanh", where="layer.0.*")
    assert unpatch_model(model) == 4
    assert torch.equal(logits(model), before)
    assert all(owner.current is thing for owner, thing in held)
    assert unpatch_model(model) == 0
    later.revert()
    patch.revert()
    assert torch.equal(logits(model), before)


def test_copies_stay_patched_and_can_be_unpatched():
    model = tiny_gpt2()
    before = logits(model)
    patch_model(model, "relu")
    patched = logits(model)
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    for twin in (
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        torch.load(buffer, weights_only=False),
    ):
        assert torch.equal(logits(twin), patched)
        assert unpatch_model(twin) == 2
        assert torch.equal(logits(twin), before)
    assert torch.equal(logits(model), patched)


def test_the_global_object_of_transformers_is_not_edited():
    from transformers.activations import gelu

    model, other = ZOO["global instance"].build(), ZOO["global instance"].build()
    with patch_model(model, "relu"):
        assert other.layers[0].act is gelu
        assert type(gelu).__name__ == "GELUActivation"
        assert isinstance(model.layers[1].act, KernelActivation)


def test_a_loaded_plan_is_applied_or_refused_whole():
    plan = plan_patch(tiny_bert(), "relu")
    model = tiny_bert()
    assert len(apply_plan(model, plan)) == 4
    smaller = tiny_bert(layers=2)
    held = owners_of(smaller)
    with pytest.raises(PatchConflict, match="the model has no such site"):
        apply_plan(smaller, plan)
    with pytest.raises(PatchConflict, match="the plan expects gelu; it is relu"):
        apply_plan(model, plan)
    assert all(owner.current is thing for owner, thing in held)


def test_a_model_without_gelu_is_refused_and_says_what_it_has():
    with pytest.raises(NothingToPatch, match="its activations are: silu x2"):
        patch_model(tiny_llama(), "gelu_fused")
    assert len(patch_model(tiny_llama(), "gelu_fused", allow_empty=True)) == 0


def test_compile_follows_the_patch():
    model = shared_instance()
    x = example_input()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    before = compiled(x)
    with patch_model(model, "relu"):
        assert torch.allclose(compiled(x), model(x), atol=1e-6)
        assert not torch.allclose(compiled(x), before, atol=1e-3)
    assert torch.allclose(compiled(x), before, atol=1e-6)


def test_a_patch_prints_what_it_did():
    model = tiny_bert()
    patch = patch_model(model, "relu", where="encoder.*")
    text = str(patch)
    assert "bert.encoder.layer.[0-2].intermediate.intermediate_act_fn" in text
    assert "left alone: cls.predictions.transform.transform_act_fn: outside where" in text
    assert "changes the mathematics" in text
    assert repr(patch) == "<Patch relu: 3 of 4 sites of BertForMaskedLM>"
    patch.revert()
    assert "patch is reverted" in str(patch)


def test_a_refusal_says_what_why_and_what_to_type():
    model = Stack(Mlp(nn.GELU()), Mlp(nn.GELU()))
    with pytest.raises(NothingToPatch) as none_chosen:
        patch_model(model, {"layers.1.*": "relu"}, where="layers.0.*")
    error = none_chosen.value
    assert error.what == "none of the 2 GELU sites of Stack was patched"
    assert error.why == "no entry of the target mapping matches it (1 sites); outside where (1 sites)"
    assert error.next_step == "change target or where, or pass allow_empty=True"
    with pytest.raises(NothingToPatch) as no_gelu:
        patch_model(Mlp(nn.ReLU()), "silu")
    error = no_gelu.value
    assert error.what == "no GELU in Mlp; its activations are: relu x1"
    assert error.why == (
        "only GELUs are patched; what runs in functions outside of the model's classes is seen with example inputs"
    )
    assert error.next_step == "gelu_patch.inspect_model(model, example_inputs), or pass allow_empty=True"
    plan = plan_patch(model, "relu")
    patch_model(model, "silu", where="layers.0.*")
    with pytest.raises(PatchConflict) as unfit:
        apply_plan(model, plan)
    error = unfit.value
    assert (error.what, error.where) == ("the plan does not fit this model", "layers.0.act")
    assert error.why == "the plan expects gelu; it is silu (KernelActivation)"
    assert error.next_step == "make the plan on this model: gelu_patch.plan_patch(model, target)"


def test_a_conflict_names_the_site_and_the_way_out():
    model = Mlp(nn.GELU())
    first = patch_model(model, "relu")
    patch_model(model, "silu")
    with pytest.raises(PatchConflict) as later:
        first.revert()
    assert later.value.where == "act"
    assert later.value.next_step == "revert the later patch first, or call gelu_patch.unpatch_model(model)"
    model.act = nn.Tanh()
    with pytest.raises(PatchConflict) as foreign:
        first.revert()
    assert foreign.value.next_step == "put back what was there, or rebuild the model"


def test_a_patch_counts_what_it_replaced_and_knows_whether_it_stands():
    model = Stack(Mlp(nn.GELU()), Mlp(nn.GELU()))
    patch = patch_model(model, "relu", where="layers.1.*")
    assert (len(patch), patch.model, patch.active) == (1, model, True)
    assert [change.site for change in patch.replaced] == ["layers.1.act"]
    assert [rejection.site for rejection in patch.rejected] == ["layers.0.act"]
    assert str(patch).endswith("patch is active; undo with patch.revert()")
    with patch as same:
        assert same is patch
    assert not patch.active
    assert unpatch_model(model) == 0


def test_the_memory_mode_reaches_every_replacement():
    model = Stack(Mlp(nn.GELU()), Mlp(nn.GELU()))
    patch_model(model, "gelu_fused", memory="speed")
    assert {layer.act.memory for layer in model.layers} == {"speed"}
    assert {layer.act.gelu_patch_origin for layer in model.layers} == {"gelu"}
    patch_model(model, "relu", memory="max")
    assert {layer.act.memory for layer in model.layers} == {"max"}
    assert {layer.act.gelu_patch_origin for layer in model.layers} == {"gelu"}, "what the model came with"
    assert {type(layer.act.stock) for layer in model.layers} == {nn.GELU}
