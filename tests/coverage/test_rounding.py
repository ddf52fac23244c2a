"""The control of an exact swap: what other last bits of the same GELUs do."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.coverage_lib.check import TOLERANCE, is_close
from benchmarks.coverage_lib.rounding import FACTOR, ULPS, OtherLastBits, other_last_bits
from gelu_patch.kernels import kernels
from gelu_patch.patching import patch_model
from tests.zoo import Mlp, example_input


@pytest.mark.parametrize("flavour", ["none", "tanh"])
def test_gelus_are_off_by_no_more_than_was_said_and_otherwise_with_another_seed(flavour):
    model, x = Mlp(nn.GELU(flavour)).eval(), example_input()
    model.down = nn.Identity()
    found = []
    for seed in (0, 0, 1):
        with other_last_bits(seed), torch.no_grad(), patch_model(model, "gelu_fused") as patch:
            assert [change.kernel for change in patch.replaced] == [OtherLastBits.name]
            found.append(model(x))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    exact = F.gelu(model.up(x).double(), approximate=flavour)
    error = (found[0].double() - exact).abs() / (exact.abs() * torch.finfo(torch.float32).eps)
    assert 1 < error.max() <= ULPS + 0.5, "and the rounding of the result"
    assert OtherLastBits.name not in kernels.names()


def test_close_is_within_the_tolerance_or_what_rounding_explains():
    assert is_close({"difference": TOLERANCE})
    assert not is_close({"difference": 1.01 * TOLERANCE})
    assert is_close({"difference": 1.9e-2, "rounding": 1e-2})
    assert not is_close({"difference": 1.01 * FACTOR * 1e-2, "rounding": 1e-2})
    assert not is_close({"difference": 2 * TOLERANCE, "rounding": 0.0})
