"""Choosing a kernel, and the trace that says why."""

import pytest
import torch

from gelu_patch.errors import UsageError
from gelu_patch.kernels import Accepted, Rejected, Request, kernels, register_kernel, select
from gelu_patch.kernels.eager import EagerKernel


class Fast(EagerKernel):
    name = "fast"
    priority = 100

    def answer(self, request):
        return Accepted("made for this") if request.dtype == torch.bfloat16 else Rejected("bfloat16 only")


@pytest.fixture
def fast():
    register_kernel(Fast())
    yield
    kernels.unregister("fast")


def test_eager_is_always_there():
    chosen = select(Request("gelu", "cpu", torch.float64))
    assert chosen.kernel.name == "eager"
    assert dict(chosen.trace)["eager"] == Accepted()


def test_the_highest_priority_that_accepts_is_taken(fast):
    assert select(Request("gelu", "cpu", torch.bfloat16)).kernel.name == "fast"
    other = select(Request("gelu", "cpu", torch.float64))
    assert other.kernel.name == "eager"
    assert other.trace[0] == ("fast", Rejected("bfloat16 only"))
    assert "fast: rejected: bfloat16 only" in str(other)


def test_no_kernel_is_an_error_with_every_reason():
    with pytest.raises(UsageError, match="no kernel computes 'mish'") as caught:
        select(Request("mish", "cpu", torch.float32))
    assert "eager: there is no ATen form" in str(caught.value)
    with pytest.raises(UsageError, match="no floating dtype"):
        select(Request("gelu", "cpu", torch.int64))
