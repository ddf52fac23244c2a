"""The float64 truth is right to far below the 0.01 float32 ulp that checks resolve, in every region."""

import mpmath
import numpy as np
import pytest
import torch

from gelu_patch.activations import activations
from gelu_patch.checking.regions import regions
from gelu_patch.checking.results import RESOLUTION
from gelu_patch.checking.ulp import unit
from tests.activations.test_formulas import DEFINITIONS

ENDS = (-13.0, 40.0)  # left of it, results are subnormal


def points(part):
    low, high = max(part.low, ENDS[0]), min(part.high, ENDS[1])
    return np.random.default_rng(0).uniform(low, high, 12).astype(np.float32).astype(np.float64)


def distances(name, direction):
    """In float32 ulp of the truth, at points of every region."""
    activation = activations.get(name)
    definition = DEFINITIONS[activation.approximates.of if activation.approximates else name]
    with mpmath.workdps(120):  # 1 + tanh cancels in the tail
        for part in regions(activation, direction):
            x = points(part)
            x = x[~np.isin(x, activation.kinks)]
            found = activation.formula(x) if direction == "forward" else activation.derivative(x)
            for each, y in zip(x, found, strict=True):
                exact = definition(mpmath.mpf(each))
                if direction == "backward":
                    exact = mpmath.diff(definition, mpmath.mpf(each))
                scale = unit(np.array([float(exact)]), torch.float32)[0]
                if part.crossing:
                    scale = torch.finfo(torch.float32).eps  # only absolute errors are reported
                yield part, each, float(abs(y - exact) / scale)


# An approximate derivative is a table: it is exactly what it says.
CASES = [
    (name, direction)
    for name in activations.names()
    for direction in ("forward", "backward")
    if direction == "forward" or not activations.get(name).approximates
]


@pytest.mark.parametrize(("name", "direction"), CASES)
def test_it_resolves_more_than_is_reported(name, direction):
    worst = max(distances(name, direction), key=lambda found: found[-1])
    assert worst[-1] < RESOLUTION / 1000, worst
