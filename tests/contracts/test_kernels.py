"""Every registered (activation, kernel, dtype) against float64, inside its declared bound.

Sixteen-bit types: every input. The others: a stratified subset of float32's (``gelu_patch.checking.inputs``).
"""

import pytest
import torch

from gelu_patch.activations import activations
from gelu_patch.checking import check_kernel
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


def test_the_registries_are_not_empty():
    assert len(CASES) >= 4 * len(activations)


@pytest.mark.parametrize(("kernel", "activation", "dtype"), CASES)
def test_values(kernel, activation, dtype):
    check = check_kernel(activation, kernel, dtype, "forward")
    assert check.kept, check.broken


@pytest.mark.parametrize(("kernel", "activation", "dtype"), CASES)
def test_gradients(kernel, activation, dtype):
    check = check_kernel(activation, kernel, dtype, "backward")
    assert check.kept, check.broken


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
