"""Two module trees over the same tensors."""

from __future__ import annotations

import torch
from torch import nn

from gelu_patch.patching import patch_model
from gelu_patch.patching.shells import shell_of
from tests.zoo import Mlp, Stack, example_input, logits, shared_parent, tiny_bert


def test_a_shell_has_the_same_tensors_and_other_modules():
    model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.GELU())
    shell = shell_of(model)
    mine, theirs = (m.state_dict(keep_vars=True) for m in (model, shell))
    assert list(mine) == list(theirs)
    assert all(mine[key] is theirs[key] for key in mine), "a tensor was copied"
    assert not {id(module) for module in model.modules()} & {id(module) for module in shell.modules()}


def test_an_arm_is_patched_without_the_other():
    model = Stack(Mlp(nn.GELU()), Mlp(nn.GELU()))
    before = model(example_input())
    shell = shell_of(model)
    patch_model(shell, "relu")
    assert torch.equal(model(example_input()), before)
    assert not torch.allclose(shell(example_input()), before, atol=1e-3)
    with torch.no_grad():
        model.layers[0].up.weight.zero_()
    assert not shell.layers[0].up.weight.any(), "training one arm must be seen by the other"


def test_tied_weights_and_shared_parts_stay_tied():
    model = tiny_bert()
    shell = shell_of(model)
    assert shell.cls.predictions.decoder.weight is shell.bert.embeddings.word_embeddings.weight
    assert torch.equal(logits(shell), logits(model))
    block = shell_of(shared_parent())
    assert block.layers[0] is block.layers[1]
