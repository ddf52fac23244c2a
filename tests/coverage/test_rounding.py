"""The control of an exact swap: what another rounding of the same GELUs does."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.coverage_lib.check import TOLERANCE, is_close
from benchmarks.coverage_lib.rounding import FACTOR, RoundedOnce, rounded_once
from gelu_patch.kernels import kernels
from gelu_patch.patching import patch_model
from tests.zoo import Mlp, example_input


@pytest.mark.parametrize("flavour", ["none", "tanh"])
def test_gelus_are_computed_in_float64_and_rounded_once(flavour):
    model, x = Mlp(nn.GELU(flavour)).eval(), example_input()
    with rounded_once(), torch.no_grad(), patch_model(model, "gelu_fused") as patch:
        assert [change.kernel for change in patch.replaced] == [RoundedOnce.name]
        z = model.up(x)
        assert torch.equal(model(x), model.down(F.gelu(z.double(), approximate=flavour).float()))
    assert RoundedOnce.name not in kernels.names()


def test_close_is_within_the_tolerance_or_what_rounding_explains():
    assert is_close({"difference": TOLERANCE})
    assert not is_close({"difference": 1.01 * TOLERANCE})
    assert is_close({"difference": 3.9e-2, "rounding": 1e-2})
    assert not is_close({"difference": 1.01 * FACTOR * 1e-2, "rounding": 1e-2})
    assert not is_close({"difference": 2 * TOLERANCE, "rounding": 0.0})
