"""Values and derivatives against float64: every 16-bit input, and float32 by regions, as for any other kernel."""

import numpy as np
import pytest
import torch

from gelu_patch.activations import activations
from gelu_patch.checking import check_kernel
from gelu_patch.kernels.triton.kernel import ACTIVATIONS, DTYPES, elementwise
from tests.interpreted import interpreted, needs_the_interpreter  # noqa: F401

pytestmark = needs_the_interpreter
CASES = [pytest.param(a, d, id=f"{a}-{str(d)[6:]}") for a in ACTIVATIONS for d in DTYPES]
TOLERANCE = {torch.float32: 1e-6, torch.bfloat16: 2**-7, torch.float16: 2**-10}
each = pytest.mark.parametrize(("activation", "dtype"), CASES)


@each
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_every_input_is_within_the_declared_bound(activation, dtype, direction, interpreted):  # noqa: F811
    check = check_kernel(activation, "interpreted", dtype, direction)
    assert check.kept, check.broken


def numbers(dtype, *shape):
    return (3 * torch.randn(shape)).to(dtype)


def truth(activation, x, what="formula"):
    return torch.from_numpy(getattr(activations.get(activation), what)(x.double().numpy()))


def close(found, expected, dtype):
    scale = expected.abs().clamp(min=1.0)
    return bool(((found.double() - expected).abs() <= TOLERANCE[dtype] * scale).all())


@each
def test_a_bias_is_added_in_the_same_pass(activation, dtype):
    from gelu_patch.kernels.triton import launches

    x, bias = numbers(dtype, 5, 48), numbers(dtype, 48)
    out = torch.empty_like(x)
    launches.forward(activation, out, x, bias)
    assert close(out, truth(activation, x.double() + bias.double()), dtype)


@each
@pytest.mark.parametrize("shape", [(8, 256), (3, 40), (130, 300), (2, 7, 33)])
@pytest.mark.parametrize("with_bias", [False, True])
def test_one_program_gives_gradient_sums_and_values(activation, dtype, shape, with_bias):
    from gelu_patch.kernels.triton import launches

    x, grad = numbers(dtype, *shape), torch.randn(shape).to(dtype)
    bias = numbers(dtype, shape[-1]) if with_bias else None
    z = x.double() if bias is None else x.double() + bias.double()
    out, again = torch.empty_like(x), torch.empty_like(x)
    sums = launches.backward_with_sums(activation, out, x, grad, bias, again)
    expected = grad.double() * truth(activation, z, "derivative")
    assert close(again, truth(activation, z), dtype)
    assert close(out, expected, dtype)
    rows = expected.reshape(-1, shape[-1])
    assert sums.shape == (shape[-1],)
    assert sums.dtype == dtype
    assert ((sums.double() - rows.sum(0)).abs() <= TOLERANCE[dtype] * (1 + rows.abs().sum(0))).all()


@each
def test_gated(activation, dtype):
    from gelu_patch.kernels.triton import launches

    gate, other, grad = (numbers(dtype, 4, 37) for _ in range(3))
    out, by_gate, by_other = (torch.empty_like(gate) for _ in range(3))
    launches.gated_forward(activation, out, gate, other)
    launches.gated_backward(activation, by_gate, by_other, gate, other, grad)
    f, slope = truth(activation, gate), truth(activation, gate, "derivative")
    assert close(out, f * other.double(), dtype)
    assert close(by_other, f * grad.double(), dtype)
    assert close(by_gate, slope * other.double() * grad.double(), dtype)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_is_as_exact_as_pytorch_s_op_in_float32(activation, interpreted):  # noqa: F811
    """The worst error over [-10, 10], of ours and of PyTorch's own op on the same inputs."""
    x = torch.linspace(-10, 10, 200_001)
    kernel = elementwise(activation, "cpu")
    expected = truth(activation, x)
    ours, theirs = ((f(x).double() - expected).abs().max() for f in (kernel, kernel.fallback))
    assert ours <= theirs
    assert np.isfinite(float(ours))


def test_the_first_launch_is_believed_only_when_it_is_right(monkeypatch):
    from gelu_patch.kernels.triton import devices, launches

    cpu, right = torch.device("cpu"), launches.forward
    assert devices.launch(cpu) is None

    monkeypatch.setattr(launches, "forward", lambda form, out, x: right("gelu_tanh", out, x))
    assert "off from gelu by" in devices.launch(cpu).reason

    def broken(form, out, x):
        raise OSError("no C compiler\nand more")

    monkeypatch.setattr(launches, "forward", broken)
    assert devices.launch(cpu).reason.endswith("no C compiler")
