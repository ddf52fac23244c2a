"""Quantised Linears before and after a patch: the quantiser sees plain Linears, the patch only activations."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from gelu_patch.patching import patch_model
from tests.traps.helpers import TARGETS, assert_same, every_case, every_pretrained, every_target, frozen_output, trap

pytest.importorskip("torchao")


def int8_weights(model):
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    quantize_(model, Int8WeightOnlyConfig(version=2))
    return model


def int8_dynamic(model):
    with warnings.catch_warnings():
        # PyTorch announces the end of this API and deprecates types inside of it; people still use it.
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)


QUANTISERS = {"torchao int8 weights": int8_weights, "quantize_dynamic": int8_dynamic}


def quantised(model):
    """How many layers hold int8 weights."""
    return sum(
        "Int8" in type(getattr(module, "weight", None)).__name__ or type(module).__module__.startswith("torch.ao.")
        for module in model.modules()
    )


@trap(31)
@every_case
@every_target
@pytest.mark.parametrize("quantise", QUANTISERS.values(), ids=QUANTISERS)
@pytest.mark.parametrize("order", ["quantise, then patch", "patch, then quantise"])
def test_in_either_order(case, target, quantise, order):
    expected = quantise(case.stock(TARGETS[target]))
    if order == "quantise, then patch":
        found = quantise(case.stock())
        patch = patch_model(found, target)
        assert len(patch) == case.n_sites
        assert not patch.rejected
    else:
        found = quantise(case.patched(target))
    assert quantised(found) == quantised(expected) >= 1
    assert_same(frozen_output(found, case.inputs()), frozen_output(expected, case.inputs()), tolerance=2e-2)


@every_pretrained
@pytest.mark.parametrize("quantise", QUANTISERS.values(), ids=QUANTISERS)
def test_revert_on_a_quantised_model(case, quantise):
    model = quantise(case.stock())
    stock = frozen_output(model, case.inputs())
    with patch_model(model, "relu"), pytest.raises(AssertionError, match="differs by"):
        assert_same(frozen_output(model, case.inputs()), stock, tolerance=2e-2)
    assert torch.equal(frozen_output(model, case.inputs()), stock)
