"""``memory=``: the option from the call to the checkpoint, and models that compute activations again in backward."""

from __future__ import annotations

import copy
import io
import json
import pickle

import pytest
import torch
from torch import nn

from gelu_patch.errors import DataError, NothingToPatch, UnknownName
from gelu_patch.kernels import recompute
from gelu_patch.patching import (
    apply_plan,
    current_plan,
    load_patched,
    patch_act2fn,
    patch_model,
    plan_patch,
    unpatch_model,
)
from gelu_patch.patching.plan import Plan
from gelu_patch.timing.memory import measure_saved
from tests.zoo import ZOO, Mlp, Stack, tiny_bert, tiny_gpt2, tokens

TOKENS = 16  # of tokens()
F32 = 4

needs_hooks = pytest.mark.skipif(not recompute._TELLS_ITS_HOOKS, reason="PyTorch before 2.8")


def tiny_t5():
    from transformers import T5Config, T5ForConditionalGeneration

    return T5ForConditionalGeneration(
        T5Config(
            d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2, vocab_size=100, decoder_start_token_id=0,
            feed_forward_proj="gated-gelu",
        )
    )  # fmt: skip


def tiny_t5_inputs():
    return tokens() | {"decoder_input_ids": tokens()["input_ids"]}


# How much less than with memory="speed" is saved without dropout: one output for each of so many sites of this width.
MODELS = {
    "BERT": (lambda: tiny_bert(attn_implementation="eager"), tokens, 3 * 64 + 32),
    "GPT-2": (tiny_gpt2, tokens, 2 * 128),
    "T5 v1.1": (tiny_t5, tiny_t5_inputs, 4 * 64),
}
every_model = pytest.mark.parametrize(("build", "inputs", "widths"), MODELS.values(), ids=MODELS)


def built(build, dropout):
    torch.manual_seed(0)
    model = build().train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.3 if dropout else 0.0
    return model


def gradients(model, inputs):
    model.zero_grad()
    torch.manual_seed(1)
    model(**inputs)[0].square().mean().backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def saved(model, inputs):
    return measure_saved(model, inputs, (2, 8)).saved_for_backward_bytes


def hooked(model):
    return [name for name, module in model.named_modules() if module._forward_hooks or module._forward_pre_hooks]


@needs_hooks
@every_model
@pytest.mark.parametrize("dropout", [False, True], ids=["without dropout", "with dropout"])
@pytest.mark.parametrize("kernel", ["best", "eager"])
def test_gradients_have_the_same_bits_and_less_is_saved(build, inputs, widths, dropout, kernel):
    model = built(build, dropout)
    found = {}
    for memory in ("speed", "balanced", "max"):
        plan = plan_patch(model, "gelu_fused", memory=memory)
        if kernel == "eager":
            changes = tuple(change.model_copy(update={"kernel": "eager"}) for change in plan.changes)
            plan = plan.model_copy(update={"changes": changes})
        with apply_plan(model, plan):
            found[memory] = gradients(model, inputs()), saved(model, inputs())
    assert_equal(found["balanced"][0], found["speed"][0])
    assert_equal(found["max"][0], found["speed"][0])
    assert found["speed"][1] - found["balanced"][1] == TOKENS * widths * F32


@needs_hooks
@every_model
def test_the_hooks_are_there_while_it_is_patched_and_not_a_moment_longer(build, inputs, widths):
    model = built(build, dropout=False)
    stock = {name: {key: repr(value) for key, value in vars(m).items()} for name, m in model.named_modules()}
    before = gradients(model, inputs())
    patch = patch_model(model, "gelu_fused")
    assert "" in hooked(model)
    assert len(hooked(model)) < 4, "only what is called on its own"
    patch.revert()
    assert {n: {key: repr(value) for key, value in vars(m).items()} for n, m in model.named_modules()} == stock
    assert_equal(gradients(model, inputs()), before)
    patch_model(model, "gelu_fused", memory="speed")
    assert not hooked(model)
    unpatch_model(model)


def test_a_part_inside_of_a_patched_whole():
    model = built(tiny_bert, dropout=False)
    reference = copy.deepcopy(model)
    patch_model(reference, "gelu_fused", memory="speed")
    expected = gradients(reference, tokens())
    part = patch_model(model.bert, "gelu_fused")
    assert hooked(model) == ["bert"]
    whole = patch_model(model, "gelu_fused")
    assert_equal(gradients(model, tokens()), expected)
    whole.revert()
    assert_equal(gradients(model, tokens()), gradients_of_a_part(reference))
    part.revert()
    assert "bert" not in hooked(model)
    unpatch_model(model)
    assert not hooked(model)


def gradients_of_a_part(reference):
    """What is patched in `reference.bert` only; the head is stock."""
    unpatch_model(reference)
    patch_model(reference.bert, "gelu_fused", memory="speed")
    return gradients(reference, tokens())


@needs_hooks
@pytest.mark.parametrize("make", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_record_too_and_can_be_unpatched(make):
    model = built(tiny_gpt2, dropout=False)
    patch_model(model, "gelu_fused")
    less, expected = saved(model, tokens()), gradients(model, tokens())
    twin = make(model)
    assert saved(twin, tokens()) == less
    assert_equal(gradients(twin, tokens()), expected)
    unpatch_model(twin)
    assert not hooked(twin)
    assert saved(model, tokens()) == less


def test_a_pickle_from_before_the_option():
    model = ZOO["submodule"].build()
    patch_model(model, "gelu_fused")
    del vars(model.act)["memory"]
    assert pickle.loads(pickle.dumps(model)).act.memory == "balanced"


@needs_hooks
def test_patches_of_different_memory():
    """The hooks are there for whoever needs them."""
    model = built(tiny_bert, dropout=False)
    first = patch_model(model, "gelu_fused", memory="speed", where="layer.0.*")
    second = patch_model(model, "gelu_fused", where="layer.1.*")
    some = saved(model, tokens())
    assert hooked(model)
    second.revert()
    assert not hooked(model)
    assert saved(model, tokens()) - some == TOKENS * 64 * F32
    first.revert()


@needs_hooks
def test_another_memory_alone_is_a_change():
    model = built(tiny_gpt2, dropout=False)
    patch_model(model, "gelu_fused")
    with pytest.raises(NothingToPatch, match="it already is"):
        patch_model(model, "gelu_fused")
    with patch_model(model, "gelu_fused", memory="speed") as patch:
        assert len(patch) == 2
        assert current_plan(model).memory == "speed"
        assert not hooked(model)
    assert current_plan(model).memory == "balanced"
    assert hooked(model)


@needs_hooks
def test_models_built_inside_of_a_block():
    with patch_act2fn("gelu_fused"):
        model = built(tiny_gpt2, dropout=False)
    reference = built(tiny_gpt2, dropout=False)
    patch_model(reference, "gelu_fused")
    assert saved(model, tokens()) == saved(reference, tokens())
    unpatch_model(model)
    assert not hooked(model)


@needs_hooks
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT reads it
@pytest.mark.parametrize("order", ["patch, then PEFT", "PEFT, then patch"])
def test_adapters(order):
    """PEFT calls the forward of a model without its hooks."""
    peft = pytest.importorskip("peft")
    # With c_fc adapted the pre-activation needs a gradient, and is kept; the adapter of c_proj keeps the output.
    config = peft.LoraConfig(target_modules=["c_fc", "c_proj"], fan_in_fan_out=True, init_lora_weights=False)

    def adapted(memory):
        model = built(tiny_gpt2, dropout=False).transformer
        if order == "patch, then PEFT":
            patch_model(model, "gelu_fused", memory=memory)
        torch.manual_seed(2)
        model = peft.get_peft_model(model, config)
        if order == "PEFT, then patch":
            patch_model(model, "gelu_fused", memory=memory)
        return model

    found, expected = adapted("balanced"), adapted("speed")
    assert_equal(gradients(found, tokens()), gradients(expected, tokens()))
    assert saved(found, tokens()) < saved(expected, tokens())
    unpatch_model(found)
    assert not hooked(found)


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore:The .grad attribute of a Tensor"
)  # the compiler's own
@pytest.mark.parametrize("what", ["the model", "its forward", "a layer"])
def test_compiled(what):
    """Compiled code keeps what its compiler decides; a compiled part of an eager model is not compiled anew."""
    torch._dynamo.reset()
    model = built(tiny_gpt2, dropout=False)
    patch_model(model, "gelu_fused")
    expected = gradients(model, tokens())
    run = model
    if what == "the model":
        run = torch.compile(model, fullgraph=True)
    elif what == "its forward":
        model.forward = torch.compile(model.forward, fullgraph=True)
    else:
        model.transformer.h[0].mlp = torch.compile(model.transformer.h[0].mlp, fullgraph=True)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for _ in range(3):
            found = gradients(run, tokens())
    for (_, gradient), reference in zip(found.items(), expected.values(), strict=True):
        assert torch.allclose(gradient, reference, atol=1e-5)


def test_an_unknown_memory():
    model = ZOO["submodule"].build()
    for call in (plan_patch, patch_model):
        with pytest.raises(UnknownName, match="unknown memory mode 'balance'") as error:
            call(model, "gelu_fused", memory="balance")
        assert "did you mean 'balanced'" in str(error.value)


def test_the_plan_says_it_and_keeps_it(tmp_path):
    model = ZOO["submodule"].build()
    assert "memory" not in str(plan_patch(model, "gelu_fused"))
    plan = plan_patch(model, "gelu_fused", memory="speed")
    assert "memory: speed" in str(plan)
    loaded = Plan.load(plan.save(tmp_path / "plan.json"))
    assert loaded == plan
    apply_plan(model, loaded)
    assert model.act.memory == "speed"
    assert plan.digest == plan_patch(ZOO["submodule"].build(), "gelu_fused").digest


def test_a_plan_from_before_the_option(tmp_path):
    path = plan_patch(ZOO["submodule"].build(), "gelu_fused", memory="speed").save(tmp_path / "plan.json")
    content = json.loads(path.read_text())
    del content["memory"]
    path.write_text(json.dumps(content))
    assert Plan.load(path).memory == "balanced"
    path.write_text(json.dumps(content | {"memory": "tight"}))
    with pytest.raises(DataError, match="no plan"):
        Plan.load(path)


def test_a_checkpoint_keeps_it(tmp_path):
    model = tiny_bert()
    patch_model(model, "gelu_fused", memory="speed")
    model.save_pretrained(tmp_path)
    assert load_patched(tmp_path)[1].plan.memory == "speed"
    loaded, patch = load_patched(tmp_path, memory="balanced")
    assert patch.plan.memory == current_plan(loaded).memory == "balanced"
    with pytest.raises(UnknownName):
        load_patched(tmp_path, memory="less")


@pytest.mark.filterwarnings("ignore:`torch.jit.(save|load)` is deprecated:DeprecationWarning")
def test_scripted_models_have_no_hooks():
    model = Stack(Mlp(nn.GELU()), Mlp(nn.GELU()))
    patch_model(model, "gelu_fused")
    x = torch.ones(3, 8)
    with torch.no_grad():
        expected = model(x)
        file = io.BytesIO()
        torch.jit.save(torch.jit.script(model), file)
        file.seek(0)
        assert torch.allclose(torch.jit.load(file)(x), expected, atol=1e-6)
    assert hooked(model) == [""]


def test_a_plain_parent_of_a_patched_model_gets_no_hooks():
    """Only a PEFT model calls what is inside of it without its hooks."""
    model = tiny_bert()
    patch_model(model, "gelu_fused", memory="balanced")
    assert model._forward_pre_hooks
    around = nn.ModuleDict({"model": model})
    assert not around._forward_pre_hooks
    assert not around._forward_hooks
