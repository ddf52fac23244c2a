"""The Linear after an activation computed with it in training: one launch in backward, today's bits."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from torch import nn

from gelu_patch.patching import patch_model
from gelu_patch.timing.memory import measure_saved
from tests.blocks.gradients import gradients
from tests.blocks.one_launch import (
    MODES,
    InSteps,
    WithoutBias,
    as_before,
    assert_same_bits,
    mlps,
    modes,
    without_capability,
)
from tests.interpreted import interpreted, needs_the_interpreter  # noqa: F401
from tests.zoo import Mlp, Stack, tiny_bert, tiny_gpt2, tokens
from tests.zoo_inline import WIDTH

pytestmark = [*needs_the_interpreter, pytest.mark.usefixtures("interpreted")]


@mlps
@pytest.mark.parametrize(
    ("memory", "made"),
    {
        "speed": ["forward", "backward_with_sums"],
        "balanced": ["forward", "backward_with_sums again"],
        "max": ["forward", "backward_with_sums again"],
    }.items(),
)
def test_one_launch_in_backward(build, memory, made, x, launches):
    model = build()
    if build is WithoutBias and memory == "speed":
        made = ["forward", "backward"]
    patch_model(model, "gelu_fused", memory=memory)
    gradients(model, x)
    assert launches == made


@mlps
@pytest.mark.parametrize("autocast", [False, True], ids=["", "autocast"])
@pytest.mark.parametrize("shape", [(7, WIDTH), (2, 5, WIDTH), (2, 1, 3, WIDTH), (0, WIDTH)], ids=str)
@pytest.mark.parametrize("memory", MODES)
def test_gradients_have_the_bits_they_had(build, autocast, shape, memory, monkeypatch):
    model, x = build(), torch.randn(shape)
    expected = as_before(model, x, memory, monkeypatch, autocast=autocast)
    patch_model(model, "gelu_fused", memory=memory)
    assert_same_bits(gradients(model, x, autocast=autocast), expected)


FROZEN = {
    "up": ["up.weight", "up.bias"], "up's bias": ["up.bias"], "down's bias": ["down.bias"],
    "down": ["down.weight", "down.bias"], "down's weight": ["down.weight"], "all but up's bias":
    ["up.weight", "down.weight", "down.bias"], "all but down": ["up.weight", "up.bias"],
}  # fmt: skip


@pytest.mark.parametrize("frozen", FROZEN)
@pytest.mark.parametrize("of_x", [False, True], ids=["", "x"])
@modes
def test_frozen_weights(frozen, of_x, memory, x, monkeypatch):
    model = InSteps()
    for name in FROZEN[frozen]:
        model.get_parameter(name).requires_grad_(False)
    expected = as_before(model, x, memory, monkeypatch, of_x=of_x)
    patch_model(model, "gelu_fused", memory=memory)
    assert_same_bits(gradients(model, x, of_x=of_x), expected)


def test_a_frozen_down_projection_needs_no_activation_and_gets_none(x, launches):
    model = InSteps()
    model.down.requires_grad_(False)
    patch_model(model, "gelu_fused")
    gradients(model, x)
    assert launches == ["forward", "backward_with_sums"]


@mlps
def test_what_is_kept_is_what_was_kept(build, x, monkeypatch):
    kept = {}
    for taken in (False, True):
        with monkeypatch.context() as context:
            if not taken:
                without_capability(context)
            for memory in MODES:
                model = Stack(build(), build())
                patch_model(model, "gelu_fused", memory=memory)
                saved = measure_saved(model, {"x": x}, (2, 5))
                kept[taken, memory] = saved.saved_for_backward_bytes, saved.activation_saved_tensors
    for memory in MODES:
        assert kept[True, memory] == kept[False, memory]


@modes
def test_layers_that_share_a_weight_share_its_cast(memory, x, monkeypatch):
    """As under autocast: kept once, and the gradients of both layers add up before they are float32."""
    mlp = InSteps()
    model = Stack(mlp, mlp, mlp)
    expected = as_before(model, x, memory, monkeypatch, autocast=True)
    patch_model(model, "gelu_fused", memory=memory)
    if memory == "max":  # the Linear before the activation was under a checkpoint, with a cast for each layer
        expected = {name: gradient for name, gradient in expected.items() if ".down." in name}
    assert_same_bits(gradients(model, x, autocast=True), expected)
    casts = []
    original = torch.Tensor.to
    with monkeypatch.context() as context, torch.autocast("cpu", torch.bfloat16):
        context.setattr(torch.Tensor, "to", lambda tensor, *args: casts.append(tensor) or original(tensor, *args))
        model(x)
    for parameter in (mlp.down.weight, mlp.down.bias):
        assert sum(cast is parameter for cast in casts) == 1


@pytest.mark.parametrize("build", [tiny_gpt2], ids=["GPT-2"])
@modes
def test_a_model_of_transformers(build, memory, monkeypatch, launches):
    model = build()

    def step():
        model(**tokens(), labels=tokens()["input_ids"]).loss.backward()
        found = {name: parameter.grad for name, parameter in model.named_parameters()}
        model.zero_grad(set_to_none=True)
        return found

    with monkeypatch.context() as context:
        without_capability(context)
        with patch_model(model, "gelu_fused", memory=memory):
            expected = step()
    launches.clear()
    patch_model(model, "gelu_fused", memory=memory)
    assert_same_bits(step(), expected)
    assert launches == 2 * ["forward"] + 2 * ["backward_with_sums again"]


def test_bert_has_its_down_projection_elsewhere(launches):
    model = tiny_bert(layers=1)
    patch_model(model, "gelu_fused")
    model(**tokens()).logits.sum().backward()
    assert "backward_with_sums again" not in launches


def test_inference_is_as_it_was(x, launches):
    model = InSteps().eval()
    expected = model(x)
    patch_model(model, "gelu_fused")
    with torch.no_grad():
        assert torch.allclose(model(x), expected, atol=1e-5)
    assert launches == ["forward"]


def test_copies_and_files_do_the_same_and_undoing_leaves_nothing(x, launches):
    model = Stack(InSteps(), Mlp(nn.GELU()))
    state = [(type(layer), list(vars(layer))) for layer in model.layers]
    patch = patch_model(model, "gelu_fused")
    expected = gradients(model, x)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for twin in (copy.deepcopy(model), torch.load(file, weights_only=False)):
        launches.clear()
        assert_same_bits(gradients(twin, x), expected)
        assert launches.count("backward_with_sums again") == 2
    patch.revert()
    assert [(type(layer), list(vars(layer))) for layer in model.layers] == state
    launches.clear()
    gradients(model, x)
    assert not launches
    patch_model(model, "gelu_fused")
    assert_same_bits(gradients(model, x), expected)
