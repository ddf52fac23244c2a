"""Every registered (activation, kernel, dtype) against float64, inside its declared bound.

Sixteen-bit types: every finite input. float32: every 4099th bit pattern, and the neighbourhood of 0.
"""

import numpy as np
import pytest
import torch

from gelu_patch.activations import activations
from gelu_patch.kernels import Accepted, Request, kernels
from gelu_patch.timing.memory import measure_saved

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
CASES = [
    pytest.param(kernel.name, activation, dtype, id=f"{kernel.name}-{activation}-{str(dtype)[6:]}")
    for kernel in kernels
    for activation in activations.names()
    for dtype in DTYPES
    if isinstance(kernel.answer(Request(activation, "cpu", dtype)), Accepted)
]


def inputs(dtype: torch.dtype, limit: float) -> torch.Tensor:
    if dtype in (torch.bfloat16, torch.float16):
        x = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    else:
        bits = torch.arange(-(2**31), 2**31, 4099, dtype=torch.int64).to(torch.int32)
        small = torch.tensor([0.0, -0.0, 1e-45, -1e-45, 1e-38, -1e-38, 5e-7, -5e-7])
        x = torch.cat([bits.view(torch.float32), torch.linspace(-15, 15, 60_001), small]).to(dtype)
    return x[torch.isfinite(x) & (x.abs().double() <= limit)]


def assert_within(found: torch.Tensor, truth: np.ndarray, bound, x: torch.Tensor) -> None:
    largest = float(torch.finfo(found.dtype).max)
    representable = np.abs(truth) <= largest
    error = np.abs(found.double().numpy() - truth)
    excess = np.where(representable, error - (bound.absolute + bound.relative * np.abs(truth)), 0.0)
    worst = int(np.nanargmax(excess))
    assert not np.isnan(excess).any(), f"NaN at x = {float(x[int(np.isnan(excess).argmax())])}"
    assert excess[worst] <= 0, f"error {error[worst]:.3e} at x = {float(x[worst])}, truth {truth[worst]}"


def test_the_registries_are_not_empty():
    assert len(CASES) >= 4 * len(activations)


@pytest.mark.parametrize(("kernel", "activation", "dtype"), CASES)
def test_values(kernel, activation, dtype):
    bound = kernels.get(kernel).bound(activation, dtype)
    x = inputs(dtype, bound.limit)
    found = kernels.get(kernel).function(activation)(x)
    assert found.dtype == dtype
    assert_within(found, activations.get(activation).formula(x.double().numpy()), bound, x)


@pytest.mark.parametrize(("kernel", "activation", "dtype"), CASES)
def test_gradients(kernel, activation, dtype):
    bound = kernels.get(kernel).gradient_bound(activation, dtype)
    x = inputs(dtype, bound.limit)
    x = x[x != 0] if activation in {"relu", "relu2"} else x  # a kink, where any value is a convention
    if activation == "gelu_10":
        x = x[(x.abs() - 10).abs() > 0.1]
    x.requires_grad_()
    kernels.get(kernel).function(activation)(x).sum().backward()
    truth = activations.get(activation).derivative(x.detach().double().numpy())
    assert_within(x.grad, truth, bound, x.detach())


@pytest.mark.parametrize(("kernel", "activation"), sorted({case.values[:2] for case in CASES}))
def test_saved_tensors_are_as_declared(kernel, activation):
    from torch import nn

    from gelu_patch.kernels import KernelActivation

    site = KernelActivation(activation, kernel, original=nn.GELU(), origin="gelu")
    model = nn.Sequential(nn.Linear(8, 8), site, nn.Linear(8, 8))
    memory = measure_saved(model, {"input": torch.randn(3, 8)}, (3, 8))
    assert memory.activation_saved_tensors == kernels.get(kernel).saved_tensors(activation)


@pytest.mark.parametrize(("kernel", "activation"), sorted({case.values[:2] for case in CASES}))
@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 0, 3), (2, 3, 4)])
def test_any_shape_and_stride(kernel, activation, shape):
    function = kernels.get(kernel).function(activation)
    x = torch.randn(shape)
    assert function(x).shape == x.shape
    if x.ndim > 1:
        assert torch.allclose(function(x.mT), function(x.mT.contiguous()), atol=1e-6)
