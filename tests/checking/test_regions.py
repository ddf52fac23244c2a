"""Regions cover every number once, and the derivative crosses 0 where the table says."""

from itertools import pairwise
from math import inf

import numpy as np
import pytest

from gelu_patch.activations import activations
from gelu_patch.checking.regions import CROSSING, regions

ZEROS = {"gelu": -0.751791, "gelu_tanh": -0.752461, "gelu_quick": -0.751155, "gelu_10": -0.751791, "silu": -1.278465}


@pytest.mark.parametrize("name", activations.names())
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_they_cover_everything_without_overlap(name, direction):
    parts = regions(activations.get(name), direction)
    assert (parts[0].low, parts[-1].high) == (-inf, inf)
    assert all(left.high == right.low for left, right in pairwise(parts))
    assert all(part.low < part.high for part in parts)
    assert len({part.label for part in parts}) == len(parts)


@pytest.mark.parametrize("name", activations.names())
def test_only_the_derivative_has_crossings_and_they_are_where_it_is_0(name):
    activation = activations.get(name)
    assert not any(part.crossing for part in regions(activation, "forward"))
    middles = [(part.low + part.high) / 2 for part in regions(activation, "backward") if part.crossing]
    assert middles == pytest.approx([ZEROS[name]] if name in ZEROS else [], abs=1e-5)
    for middle in middles:
        assert abs(activation.derivative(np.array([middle]))[0]) < 1e-12
        # Outside of the zone the derivative is large enough for ulp to mean something.
        assert np.abs(activation.derivative(middle + np.array([-CROSSING, CROSSING]))).min() > 0.02
