"""Errors in ulp by region, at every level of this processor, beside PyTorch's own; and the same bits, however cut."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from gelu_patch.activations import activations
from gelu_patch.checking.inputs import all_halves
from gelu_patch.kernels import kernels
from gelu_patch.kernels.cpu.library import SLOPE, VALUE, Library, library, load
from tests.checking.ulps import in_ulp

LEVELS = list(library().native.levels()) if isinstance(library(), Library) else []
pytestmark = pytest.mark.skipif(not LEVELS, reason="the C extension is not built")
at_each_level = pytest.mark.parametrize("level", LEVELS)
each = pytest.mark.parametrize("activation", ["gelu", "gelu_tanh", "gelu_quick", "silu", "relu2"])
HALVES = (torch.bfloat16, torch.float16)
REGIONS = ((-14, -9), (-9, -5), (-5, -3), (-3, -1), (-1, -0.5), (-0.5, -0.25), (-0.25, 0), (0, 64))


def compute(activation, x, *, level="", grad=None):
    out = torch.empty_like(x)
    load(level).run(activation, x.dtype, VALUE if grad is None else SLOPE, out, x, grad)
    return out


def numbers():
    """Float32 of all sizes and signs, and two fine grids, down to the last normal results."""
    bits = torch.arange(0, 2**31, 4099, dtype=torch.int64).to(torch.int32).view(torch.float32)
    bits = bits[(bits > 1e-7) & (bits < 64)]
    return torch.cat([bits, -bits, torch.linspace(-9, 9, 200_001), torch.linspace(-100, -9, 100_001)])


def finite_halves(dtype):
    x = all_halves(dtype)
    return x[torch.isfinite(x)]


@at_each_level
@pytest.mark.parametrize(
    ("activation", "table", "others"),
    [("gelu", 2.0, 7.0), ("gelu_tanh", 2.3, 2.5), ("gelu_quick", 2.2, 3.0), ("silu", 2.2, 2.5)],
)
def test_float32_values_in_ulp(activation, table, others, level):
    x = numbers()
    truth = activations.get(activation).formula(x.double().numpy())
    normal = np.abs(truth) >= float(torch.finfo(torch.float32).tiny)
    error = in_ulp(compute(activation, x, level=level), truth)
    assert error[normal].max() <= (table if level == "avx512" else others)


@pytest.mark.skipif("avx512" not in LEVELS, reason="erf's rational tail at the lower levels is coarser near 0")
@pytest.mark.parametrize(("activation", "form"), [("gelu", "none"), ("gelu_tanh", "tanh")])
def test_float32_values_are_as_good_as_pytorchs_or_within_2_ulp(activation, form):
    x = numbers()
    truth = activations.get(activation).formula(x.double().numpy())
    ours, theirs = compute(activation, x), F.gelu(x, approximate=form)
    for low, high in REGIONS:
        region = (x.numpy() >= low) & (x.numpy() < high)
        pair = [in_ulp(y, truth)[region].max() for y in (ours, theirs)]
        assert pair[0] <= max(pair[1], 1.3 if activation == "gelu" else 2.0), (low, high)


@at_each_level
@each
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_halves_are_rounded_once(activation, dtype, level):
    """All inputs. The share that is not the nearest number is that of numbers very near a tie."""
    x = finite_halves(dtype)
    wide, limits = x.double().numpy(), torch.finfo(dtype)
    truth = activations.get(activation).formula(wide)
    normal = (np.abs(truth) >= limits.tiny) & (np.abs(truth) <= limits.max)
    error = in_ulp(compute(activation, x, level=level), np.where(normal, truth, 0.0))[normal]
    assert error.max() <= 0.55
    slope = activations.get(activation).derivative(wide)
    crossing = np.abs(slope) < 1e-3
    found = compute(activation, x, level=level, grad=torch.ones_like(x))
    ordinary = ~crossing & (np.abs(slope) <= limits.max)
    assert in_ulp(found, np.where(ordinary, slope, 1.0))[ordinary].max() <= 0.55


@each
@pytest.mark.parametrize("dtype", [torch.float32, *HALVES], ids=str)
def test_gradients_are_finite_wherever_the_truth_is(activation, dtype):
    x = finite_halves(dtype) if dtype in HALVES else torch.cat([numbers(), finite_halves(torch.bfloat16).float()])
    if activation == "relu2":  # 2 x overflows with its truth
        x = x[x.abs() < torch.finfo(dtype).max / 4]
    assert torch.isfinite(compute(activation, x, grad=torch.ones_like(x))).all()


@each
@pytest.mark.parametrize("dtype", [torch.float32, *HALVES], ids=str)
def test_the_same_bits_for_any_threads_slices_and_strides(activation, dtype):
    function = kernels.get("cpu").function(activation)
    x = (3 * torch.randn(3, 20_001)).to(dtype)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            leaf = x.clone().requires_grad_()
            y = function(leaf)
            y.backward(torch.ones_like(y))
            results.append((y.detach(), leaf.grad))
    finally:
        torch.set_num_threads(before)
    whole, slope = results[0]
    for other in results[1:]:
        assert torch.equal(other[0], whole)
        assert torch.equal(other[1], slope)
    for cut in (slice(0, 1), slice(1, 2), slice(5, 22), slice(3, 70), slice(17, 20_000), slice(0, None, 3)):
        assert torch.equal(function(x[:, cut]), whole[:, cut])
        assert torch.equal(function(x[:, cut].contiguous()), whole[:, cut])
    assert torch.equal(function(x.T), whole.T)


@at_each_level
@each
@pytest.mark.parametrize("dtype", [torch.float32, *HALVES], ids=str)
def test_in_place_gives_the_same_bits(activation, dtype, level):
    x, grad = torch.randn(1003).to(dtype), torch.randn(1003).to(dtype)
    there, run = x.clone(), load(level).run
    run(activation, dtype, VALUE, there, there)
    assert torch.equal(there, compute(activation, x, level=level))
    expected = compute(activation, x, level=level, grad=grad)
    for other, aliased in ((x, grad.clone()), (grad, x.clone())):
        run(activation, dtype, SLOPE, aliased, *((x, aliased) if other is x else (aliased, grad)))
        assert torch.equal(aliased, expected)


@at_each_level
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_conversions_are_those_of_pytorch(dtype, level):
    """relu2 does nothing but convert, square and round: all inputs, infinities and NaN too."""
    x = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    expected = x.float().clamp(min=0).square().to(dtype)
    found = compute("relu2", x, level=level)
    assert torch.equal(found.nan_to_num(nan=-1.0), expected.nan_to_num(nan=-1.0))
    assert torch.equal(found.isnan(), x.isnan())
