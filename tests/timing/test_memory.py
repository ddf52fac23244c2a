"""Saved-for-backward bytes against counts made by hand."""

import pytest
import torch
from torch import nn
from transformers.activations import ACT2FN

from gelu_patch.patching.shells import shell_of
from gelu_patch.timing import arms_of, measure_saved
from tests.zoo import tiny_gpt2

F32 = 4
# Distinct tensors kept by one activation, its input counted once (counted by hand from the formulas).
SAVED = {
    "gelu": 1,
    "gelu_pytorch_tanh": 1,
    "quick_gelu": 2,
    "gelu_10": 2,
    "gelu_python": 3,
    "gelu_new": 4,
    "gelu_fast": 7,
}


def mlp(act):
    return nn.Sequential(nn.Linear(8, 16, bias=False), act, nn.Linear(16, 8, bias=False))


@pytest.mark.parametrize("key", SAVED)
def test_tensors_kept_by_the_activations_of_transformers(key):
    memory = measure_saved(mlp(ACT2FN[key]), {"input": torch.randn(4, 8)}, (4, 8))
    assert memory.activation_saved_tensors == SAVED[key]
    assert memory.activation_saved_bytes == SAVED[key] * 4 * 16 * F32


def test_total_bytes_counted_by_hand():
    """x for the first weight, z for the GELU, y for the second weight; weights do not count."""
    memory = measure_saved(mlp(nn.GELU()), {"input": torch.randn(4, 8)}, (4, 8))
    assert memory.saved_for_backward_bytes == (4 * 8 + 4 * 16 + 4 * 16) * F32


def test_relu_keeps_what_the_next_linear_keeps_anyway():
    memory = measure_saved(mlp(nn.ReLU()), {"input": torch.randn(4, 8)}, (4, 8))
    assert memory.saved_for_backward_bytes == (4 * 8 + 4 * 16) * F32


def test_gpt2_goes_from_four_tensors_to_one():
    model = tiny_gpt2()
    inputs = {"input_ids": torch.arange(16).reshape(2, 8)}
    kept = {name: measure_saved(arm, inputs, (2, 8)) for name, arm in arms_of(model, ["gelu_fused"]).items()}
    assert kept["stock"].activation_saved_tensors == 4
    assert kept["gelu_fused"].activation_saved_tensors == 1
    element = 2 * 8 * 4 * 32 * F32  # the intermediate size is four times the hidden size
    assert kept["stock"].activation_saved_bytes == 2 * 4 * element
    assert kept["gelu_fused"].activation_saved_bytes == 2 * element
    # Three of the four, and the output, which the next Conv1D keeps in the stock model.
    assert kept["stock"].saved_for_backward_bytes - kept["gelu_fused"].saved_for_backward_bytes == 2 * 4 * element


def test_modes_hooks_and_random_numbers_are_put_back():
    model = tiny_gpt2().eval()
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    measure_saved(model, {"input_ids": torch.arange(16).reshape(2, 8)}, (2, 8))
    assert torch.rand(1) == expected
    assert not any(module.training or module._forward_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_shells_share_every_tensor_and_no_module():
    model = tiny_gpt2()
    shell = shell_of(model)
    assert all(a is b for a, b in zip(model.parameters(), shell.parameters(), strict=True))
    assert not {id(module) for module in model.modules()} & {id(module) for module in shell.modules()}
