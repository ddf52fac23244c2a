"""The verb, end to end on a tiny model; what the times are is not this test's business."""

import pytest
import torch
from torch import nn

import gelu_patch as gp
from gelu_patch.errors import UnknownName, UnsupportedModel, UsageError
from tests.zoo import Mlp, logits, tiny_gpt2


def test_every_arm_shape_and_phase_is_measured():
    model = tiny_gpt2()
    before = logits(model)
    found = gp.benchmark(
        model, ["gelu_fused", "relu"], shapes=[(1, 4), (2, 8)], phases=["forward", "forward_backward"], n_pairs=6
    )
    assert found.arms == ["stock", "gelu_fused", "relu"]
    for arm in found.arms:
        measured = [(entry.shape, entry.phase) for entry in found.latency[arm]]
        assert measured == [
            ((1, 4), "forward"),
            ((1, 4), "forward_backward"),
            ((2, 8), "forward"),
            ((2, 8), "forward_backward"),
        ]
        assert found.memory[arm][0].shape == (2, 8)
    assert "gelu_fused   forward 1x4" in str(found)
    assert torch.equal(logits(model), before)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_bad_calls():
    with pytest.raises(UsageError, match="at least one shape"):
        gp.benchmark(tiny_gpt2(), shapes=[])
    with pytest.raises(UnknownName):
        gp.benchmark(tiny_gpt2(), ["gelu_fussed"])
    with pytest.raises(UnsupportedModel, match="no vocabulary"):
        gp.benchmark(Mlp(nn.GELU()))


def test_inputs_of_your_own():
    found = gp.benchmark(Mlp(nn.GELU()), shapes=[(2, 3)], n_pairs=3, inputs=lambda shape: {"x": torch.randn(*shape, 8)})
    assert found.latency["gelu_fused"][0].n_pairs == 3
