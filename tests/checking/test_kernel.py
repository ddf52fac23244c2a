"""A right kernel passes, every planted fault is found and placed, and the numbers are those of an obvious count."""

import numpy as np
import pytest
import torch

from gelu_patch.activations import activations
from gelu_patch.checking import KernelCheck, check_kernel, check_kernels, inputs
from gelu_patch.checking.regions import regions
from gelu_patch.checking.tally import SUBNORMAL
from gelu_patch.errors import UnknownName, UsageError
from gelu_patch.kernels import kernels
from tests.checking.made_up import NAME, registered
from tests.checking.ulps import in_ulp

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
HALF = torch.bfloat16


def row(check, region):
    return next(each for each in check.regions if each.region == region)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh", "gelu_quick", "gelu_10"])
def test_an_exact_kernel_is_correctly_rounded_everywhere(activation, dtype, direction):
    with registered():
        check = check_kernel(activation, NAME, dtype, direction)
    assert check.kept, check.broken
    assert all(each.right and each.declared for each in check.specials)
    # Rounding float64 to 16 bits passes through float32, which loses what decides between two equally near numbers.
    assert max(each.max_ulp or 0.0 for each in check.regions) <= 0.5 + 1e-3
    assert max(each.misrounded or 0.0 for each in check.regions) <= 1e-3
    assert sum(each.inputs for each in check.regions) <= check.tried


def flush(x, y):
    return np.where(x < -5, 0.0, y)


FAULTS = {
    "a wrong constant": (dict(spoil=lambda x, y: x / (1 + np.exp(-1.69 * x))), "[-3, -1)"),
    "a tail that is 0 from -5 on": (dict(spoil=flush), "[-9, -5)"),
    "a tail that is 0 from -9 on": (dict(spoil=lambda x, y: np.where(x < -9, 0.0, y)), "below -9"),
    "NaN at inf": (dict(spoil=lambda x, y: np.where(np.isposinf(x), np.nan, y)), "+inf gives nan"),
    "0 at inf": (dict(spoil=lambda x, y: np.where(np.isposinf(x), 0.0, y)), "+inf gives 0"),
    "-inf at -inf": (dict(spoil=lambda x, y: np.where(np.isneginf(x), -np.inf, y)), "-inf gives -inf"),
    "a number for NaN": (dict(spoil=lambda x, y: np.where(np.isnan(x), 0.0, y)), "NaN gives 0"),
    "overflow of x squared": (dict(spoil=lambda x, y: np.where(x > 1e30, np.inf, y)), "[5, inf): not finite"),
    "NaN far left": (dict(spoil=lambda x, y: np.where(x < -1e30, np.nan, y)), f"{SUBNORMAL}: not finite"),
    "one wrong number": (dict(spoil=lambda x, y: np.where(x == 1.5, y * 1.02, y)), "[1, 5)"),
    "subnormal inputs taken for 0, times 64": (
        dict(spoil=lambda x, y: np.where(np.abs(x) < 64 * np.finfo(np.float32).tiny, 0.0, y)),
        SUBNORMAL,
    ),
    "half of it near 0": (dict(spoil=lambda x, y: np.where(np.abs(x) < 1e-3, y / 2, y)), "[0, 0.01)"),
    "a gradient of another activation": (dict(spoil_slope=lambda x, y: (x > 0) * 1.0), "[-1, -0.8768)"),
    "a gradient that is wrong where it crosses 0": (
        dict(spoil_slope=lambda x, y: np.where(np.abs(x + 0.75) < 0.01, y + 1e-3, y)),
        "[-0.8762, -0.6262)",
    ),
    "a gradient of 0 left of -5": (dict(spoil_slope=flush), "[-9, -5)"),
    "a gradient that is NaN at -inf": (
        dict(spoil_slope=lambda x, y: np.where(np.isneginf(x), np.nan, y)),
        "-inf gives",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("dtype", [torch.float32, HALF], ids=str)
def test_a_planted_fault_is_found_and_placed(name, dtype):
    fault, place = FAULTS[name]
    direction, other = ("backward", "forward") if "spoil_slope" in fault else ("forward", "backward")
    with registered(**fault):
        found = check_kernel("gelu_quick", NAME, dtype, direction)
        assert check_kernel("gelu_quick", NAME, dtype, other).kept
    assert not found.kept
    place = place.replace("[-1, -0.8768)", "[-1, -0.8762)")
    assert any(place in text for text in found.broken), found.broken


def rough(x, y):
    """Errors of all sizes, and some results that are not finite."""
    return np.where(np.abs(x - 7) < 0.2, np.inf, y * (1 + 1e-6 * np.sin(1e4 * x)))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("name", ["gelu", "gelu_quick"])
def test_the_numbers_are_those_of_an_obvious_count(name, direction, dtype, monkeypatch):
    """Masks over all inputs at once, one region at a time; the real one slices chunks."""
    activation = activations.get(name)
    parts = regions(activation, direction)
    monkeypatch.setattr(inputs, "CHUNK", 1013)
    monkeypatch.setattr(inputs, "STRIDE", 200_003)
    with registered(rough, rough):
        check = check_kernel(name, NAME, dtype, direction)
        x = torch.cat(list(inputs.inputs_for(dtype, tuple(part.low for part in parts[1:])).chunks()))
        x = x[torch.isfinite(x)].requires_grad_()
        y = kernels.get(NAME).function(name)(x)
        y = y.detach() if direction == "forward" else torch.autograd.grad(y, x, torch.ones_like(y))[0]
    wide = x.detach().double().numpy()
    truth = activation.formula(wide) if direction == "forward" else activation.derivative(wide)
    finite = torch.isfinite(y).numpy()
    normal = np.abs(truth) >= torch.finfo(dtype).tiny
    error, ulp = np.abs(y.double().numpy() - truth), in_ulp(y, truth)
    for part, found in zip(parts, check.regions[:-1], strict=True):
        here = (wide >= part.low) & (wide < part.high) & normal
        assert found.inputs == here.sum()
        assert found.not_finite == (here & ~finite).sum()
        here &= finite
        if here.any():
            assert found.max_abs == error[here].max()
            assert found.misrounded == pytest.approx((ulp[here] > 0.5).mean())
            assert found.max_ulp == (None if part.crossing else ulp[here].max())
        else:
            assert found.max_abs is None
    assert check.regions[-1].region == SUBNORMAL
    assert check.regions[-1].inputs == (~normal).sum()
    assert check.regions[-1].max_abs == error[~normal].max()


def test_what_is_not_declared_is_shown_and_breaks_nothing():
    with registered(lambda x, y: np.where(np.abs(x) > 100, np.nan, y), limit=100.0, beyond=False):
        check = check_kernel("gelu", NAME, HALF)
    assert check.kept
    assert row(check, "[5, inf)").not_finite > 1000
    wrong = {each.name for each in check.specials if not each.right}
    assert wrong == {"+largest", "-largest", "+inf", "-inf"}
    with registered(lambda x, y: np.where(np.abs(x) >= 100, np.nan, y), limit=100.0, beyond=False):
        assert not check_kernel("gelu", NAME, HALF).kept


def test_a_jump_of_the_derivative_is_a_convention():
    """At 0 and around 10, where the roundings of another kernel may fall on the other side."""
    with registered(spoil_slope=lambda x, y: np.where(np.abs(x - 10) <= 0.1, 0.5, y)):
        assert check_kernel("gelu_10", NAME, HALF, "backward").kept
        assert not check_kernel("gelu", NAME, HALF, "backward").kept


def test_less_exact_than_another_names_the_regions():
    with registered():
        exact, eager = check_kernels("gelu", [NAME, "eager"], HALF)
        assert exact.worse_than(eager) == []
        assert {"[-9, -5)", "[-5, -3)", "below -9"} <= set(eager.worse_than(exact))
        assert "[1, 5)" not in eager.worse_than(exact)
    with registered(lambda x, y: np.where(x > 5, np.nan, y)):
        assert "[5, inf)" in check_kernel("gelu", NAME, HALF).worse_than(eager)


def test_a_result_is_the_same_as_json():
    with registered(FAULTS["NaN at inf"][0]["spoil"]):
        check = check_kernel("gelu", NAME, HALF)
    again = KernelCheck.model_validate_json(check.model_dump_json())
    assert again.broken == check.broken == ["+inf gives nan, the truth is inf"]
    assert again.regions == check.regions


def test_a_kernel_that_rejects_and_unknown_names():
    with registered(), pytest.raises(UsageError, match="does not compute 'relu'") as caught:
        check_kernel("relu", NAME)
    assert "it has GELU only" in str(caught.value)
    assert "ask nicely" in str(caught.value)
    for arguments, hint in (
        (("gleu", "eager"), "'gelu'"),
        (("gelu", "eagr"), "'eager'"),
        (("gelu", "eager", HALF, "backwards"), "'backward'"),
    ):
        with pytest.raises(UnknownName, match=f"did you mean {hint}"):
            check_kernel(*arguments)


def test_progress_reaches_the_end():
    seen = []
    check_kernel("relu", "eager", HALF, on_progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (2**16, 2**16)
