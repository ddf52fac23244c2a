"""Generation with a KV cache: the same tokens with a dynamic, a static and no cache."""

from __future__ import annotations

import pytest
import torch

from gelu_patch.patching import patch_model
from tests.traps.helpers import PRETRAINED, TARGETS, every_target, trap

CASE = PRETRAINED["GPT-2"]
CACHES = {"dynamic": {"use_cache": True}, "static": {"cache_implementation": "static"}, "none": {"use_cache": False}}


def generate(model, **cache):
    prompt = torch.tensor([[5, 17, 3, 60], [9, 9, 1, 2]])
    return model.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=12,
        do_sample=False,
        pad_token_id=0,
        eos_token_id=None,
        **cache,
    )


@trap(27)
@every_target
@pytest.mark.parametrize("cache", CACHES)
def test_the_tokens_are_those_of_the_reference(cache, target):
    found, expected = generate(CASE.patched(target), **CACHES[cache]), generate(CASE.stock(TARGETS[target]))
    assert torch.equal(found, expected)
    assert found[:, 4:].unique().numel() > 4, "a constant sequence proves nothing"


def test_the_activation_decides_the_tokens():
    assert not torch.equal(generate(CASE.stock("relu")), generate(CASE.stock()))


def test_a_patch_between_two_generations():
    model = CASE.stock()
    stock = generate(model)
    with patch_model(model, "relu"):
        assert torch.equal(generate(model), generate(CASE.stock("relu")))
    assert torch.equal(generate(model), stock)
