"""The float64 formulas against independent definitions, and the measured distances."""

import mpmath
import numpy as np
import pytest

from gelu_patch.activations import Activation, activations, register_activation
from gelu_patch.errors import UnknownName, UsageError

POINTS = [-40.0, -12.0, -8.5, -6.0, -3.0, -1.0, -0.5, -1e-3, 0.0, 1e-3, 0.75, 2.0, 6.0, 12.0, 40.0]

mpmath.mp.dps = 400  # 1 + tanh cancels in the tail

DEFINITIONS = {
    "gelu": lambda x: x * mpmath.ncdf(x),
    "gelu_tanh": lambda x: x / 2 * (1 + mpmath.tanh(mpmath.sqrt(2 / mpmath.pi) * (x + mpmath.mpf("0.044715") * x**3))),
    "gelu_quick": lambda x: x / (1 + mpmath.exp(-mpmath.mpf("1.702") * x)),
    "gelu_10": lambda x: max(min(x * mpmath.ncdf(x), 10), -10),
    "relu": lambda x: max(x, 0),
    "relu2": lambda x: max(x, 0) ** 2,
    "silu": lambda x: x / (1 + mpmath.exp(-x)),
}


def test_every_registered_activation_has_an_independent_definition():
    assert set(DEFINITIONS) == {activation.values for activation in activations}


@pytest.mark.parametrize("name", activations.names())
def test_formula_agrees_with_400_digits(name):
    found = activations.get(name).formula(np.array(POINTS))
    for x, y in zip(POINTS, found, strict=True):
        truth = DEFINITIONS[activations.get(name).values](mpmath.mpf(x))
        assert abs(y - truth) <= 1e-13 * abs(truth) + 1e-300, (x, y, truth)


@pytest.mark.parametrize("name", DEFINITIONS)
def test_derivative_agrees_with_numeric_differentiation(name):
    points = [x for x in POINTS if x != 0.0 and not (name == "gelu_10" and abs(x) >= 10)]
    found = activations.get(name).derivative(np.array(points))
    for x, y in zip(points, found, strict=True):
        truth = mpmath.diff(DEFINITIONS[name], mpmath.mpf(x))
        assert abs(y - truth) <= 1e-12 * abs(truth) + 1e-300, (x, y, truth)


@pytest.mark.parametrize("name", DEFINITIONS)
def test_infinities_and_nan(name):
    activation = activations.get(name)
    low, high, nan = activation.formula(np.array([-np.inf, np.inf, np.nan]))
    assert low == 0.0
    assert high == (10.0 if name == "gelu_10" else np.inf)
    assert np.isnan(nan)
    low, high, nan = activation.derivative(np.array([-np.inf, np.inf, np.nan]))
    assert low == 0.0
    assert high == {"gelu_10": 0.0, "relu2": np.inf}.get(name, 1.0)
    assert np.isnan(nan)


def test_the_derivative_of_relu_is_0_at_0_as_in_pytorch():
    assert activations.get("relu").derivative(np.array([-0.0, 0.0, 5e-324])).tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize("name", activations.names())
def test_no_number_is_too_large_to_be_computed_quietly(name):
    activation = activations.get(name)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        for x in (-1e300, -1e200, -1e120, -3.4e38, 3.4e38, 1e120, 1e200, 1e300, -np.inf, np.inf, np.nan):
            value, slope = activation.formula(np.array([x])), activation.derivative(np.array([x]))
            assert np.isnan(value) == np.isnan(x)
            assert np.isnan(slope) == (np.isnan(x) and activation.approximates is None), "a step has a level"


@pytest.mark.parametrize(
    ("name", "distance", "at"),
    [
        ("gelu", 0.0, None),
        ("gelu_tanh", 4.73e-4, -2.70),
        ("gelu_quick", 2.03e-2, -2.27),
        ("relu", 0.170, -0.75),
        ("silu", 0.193, -1.97),
    ],
)
def test_measured_distance_from_exact_gelu(name, distance, at):
    measured = activations.get(name).distance
    assert measured.max_abs == pytest.approx(distance, rel=5e-3, abs=1e-15)
    if at is not None:
        assert abs(measured.at) == pytest.approx(abs(at), abs=0.01)


def test_unknown_name_suggests_near_ones():
    with pytest.raises(UnknownName, match="did you mean 'gelu_tanh'"):
        activations.get("gelu_tahn")


def test_a_name_or_alias_is_taken_once():
    same = activations.get("gelu")
    with pytest.raises(UsageError, match="already registered"):
        register_activation(same)
    other = Activation("my_gelu", same.formula, same.derivative, "mine", "none")
    with pytest.raises(UsageError, match="'quick_gelu' is already registered"):
        register_activation(other, aliases=("quick_gelu",))
    assert "my_gelu" not in activations


def test_a_new_activation_is_one_registration():
    same = activations.get("gelu")
    register_activation(Activation("my_gelu", same.formula, same.derivative, "mine", "none"), aliases=("mine",))
    try:
        assert activations.get("mine").distance.max_abs == 0.0
    finally:
        activations.unregister("my_gelu")
    assert "mine" not in activations


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "gelu_quick", "silu"])
def test_the_limit_at_minus_infinity_is_minus_zero(name):
    """The functions come from below; PyTorch's ops give a nan or a zero there, and a kernel is held against this."""
    found = activations.get(name).formula(np.array([-np.inf]))
    assert found == 0
    assert np.signbit(found)
