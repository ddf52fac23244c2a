"""Hugging Face's `kernels`: `kernelize` puts a forward on the instances of registered layers, GELU among them."""

from __future__ import annotations

from types import MethodType

import pytest
import torch
from torch import nn
from transformers.utils import is_kernels_available

from gelu_patch.errors import NothingToPatch
from gelu_patch.patching import patch_model
from tests.traps.helpers import PRETRAINED, TARGETS, assert_same, every_built, every_target, frozen_output, trap


class HubGelu(nn.Module):
    """Stands for a layer of a kernel repository; its forward is bound to the model's own instance."""

    def forward(self, input):
        return 2 * torch.nn.functional.gelu(input)


def kernelize(model):
    """What kernels.kernelize does to every module whose class is registered under a name of the mapping."""
    replaced = 0
    for module in model.modules():
        if type(module).__name__ in {"GELUActivation", "NewGELUActivation"}:
            module.forward = MethodType(HubGelu.forward, module)
            replaced += 1
    return replaced


@trap(35, 8)
@every_built
@every_target
def test_kernelize_then_patch_is_refused_with_the_reason(case, target):
    """The hub's kernel would be dropped in silence; and it need not compute what its class says."""
    model = case.stock()
    assert kernelize(model) == case.n_sites
    before = frozen_output(model, case.inputs())
    with pytest.raises(NothingToPatch, match="forward is replaced on the instance") as refusal:
        patch_model(model, target)
    assert "patch before" in str(refusal.value)
    assert torch.equal(frozen_output(model, case.inputs()), before)


@trap(35)
@every_built
@every_target
def test_patch_then_kernelize_keeps_the_patch(case, target):
    model = case.stock()
    stock = frozen_output(model, case.inputs())
    patch = patch_model(model, target)
    assert kernelize(model) == 0
    assert_same(frozen_output(model, case.inputs()), frozen_output(case.stock(TARGETS[target]), case.inputs()))
    patch.revert()
    assert torch.equal(frozen_output(model, case.inputs()), stock)
    assert kernelize(model) == case.n_sites


@trap(35)
def test_use_kernels_of_transformers_keeps_the_patch_or_refuses():
    """On a CPU its mapping has no GELU; without a `kernels` of the right version it raises."""
    case = PRETRAINED["BERT"]
    model = case.patched("relu")
    if is_kernels_available():
        model.set_use_kernels(True)
    else:
        with pytest.raises(ValueError, match="pip install kernels"):
            model.set_use_kernels(True)
    assert_same(frozen_output(model, case.inputs()), frozen_output(case.stock("relu"), case.inputs()))


@trap(35)
def test_the_real_kernelize_keeps_the_patch():
    kernels = pytest.importorskip("kernels", reason="the package kernels is not installed")
    case = PRETRAINED["BERT"]
    model = case.patched("relu")
    with kernels.use_kernel_mapping({}):
        model = kernels.kernelize(model, mode=kernels.Mode.INFERENCE, device="cpu")
    assert_same(frozen_output(model, case.inputs()), frozen_output(case.stock("relu"), case.inputs()))
