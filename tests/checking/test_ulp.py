"""Units of the last place."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gelu_patch.checking.ulp import unit
from tests.checking.ulps import in_ulp


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@given(exponent=st.integers(-160, 100), fraction=st.floats(1.0, 2.0, exclude_max=True), sign=st.sampled_from([-1, 1]))
def test_the_spacing_of_numbers(dtype, exponent, fraction, sign):
    limits = torch.finfo(dtype)
    truth = sign * math.ldexp(fraction, exponent)
    expected = max(2.0**exponent, limits.tiny) * limits.eps
    assert unit(np.array([truth]), dtype)[0] == expected


def test_neighbours_are_one_ulp_apart_and_the_nearest_number_is_within_half():
    x = torch.linspace(-3, 3, 999)
    away = torch.nextafter(x, torch.full_like(x, 9.0))
    apart = in_ulp(away, x.double().numpy())
    assert set(apart.tolist()) <= {0.5, 1.0, 2.0}  # 0.5 and 2 across a power of 2
    truth = np.random.default_rng(0).normal(size=10_000)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        assert in_ulp(torch.from_numpy(truth).to(dtype), truth).max() <= 0.5
