"""What people hand to an activation: everything that F.gelu takes, refuses, or keeps in a strange shape."""

import copy

import pytest
import torch
from torch.nn import functional as F

from gelu_patch.kernels import Accepted, KernelActivation, Request, kernels

CPU = kernels.get("cpu")
pytestmark = pytest.mark.skipif(
    not isinstance(CPU.answer(Request("gelu", "cpu", torch.float32)), Accepted), reason="the C extension is not built"
)
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
FORMS = {"none": "gelu", "tanh": "gelu_tanh"}
gelu = CPU.function("gelu")


def samples(dtype):
    pytest.importorskip("expecttest")  # which PyTorch's own test database imports
    from torch.testing._internal.common_methods_invocations import op_db

    (info,) = [op for op in op_db if op.name == "nn.functional.gelu"]
    return [*info.sample_inputs("cpu", dtype, requires_grad=True), *info.reference_inputs("cpu", dtype)]


@pytest.mark.parametrize("dtype", [*DTYPES, torch.float64], ids=str)
def test_pytorchs_own_samples(dtype):
    found = samples(dtype)
    assert len(found) > 8
    for sample in found:
        form = FORMS[sample.kwargs.get("approximate", "none")]
        expected, ours = F.gelu(sample.input, **sample.kwargs), CPU.function(form)(sample.input)
        torch.testing.assert_close(ours, expected)
        assert ours.stride() == expected.stride()
        if sample.input.requires_grad:
            grad = torch.randn_like(expected)
            pair = [torch.autograd.grad(y, sample.input, grad)[0] for y in (ours, expected)]
            torch.testing.assert_close(*pair)
            assert pair[0].stride() == pair[1].stride()


REFUSED = {
    "int64": lambda: torch.arange(8),
    "bool": lambda: torch.ones(8, dtype=torch.bool),
    "complex": lambda: torch.ones(8, dtype=torch.complex64),
    "uint8": lambda: torch.ones(8, dtype=torch.uint8),
    "float8": lambda: torch.ones(8).to(torch.float8_e4m3fn),
    "sparse": lambda: torch.eye(4).to_sparse(),
    "sparse rows": lambda: torch.eye(4).to_sparse_csr(),
    "None": lambda: None,
    "a list": lambda: [1.0, 2.0],
    "a string": lambda: "x",
    "a number": lambda: 3.0,
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.filterwarnings("ignore:Sparse CSR")
def test_what_gelu_refuses_is_refused_in_the_same_way(kind):
    bad = REFUSED[kind]()
    with pytest.raises((TypeError, RuntimeError)) as expected:  # NotImplementedError is a RuntimeError
        F.gelu(bad)
    with pytest.raises(expected.type):
        gelu(bad)


@pytest.mark.filterwarnings("ignore:.*quantiz:DeprecationWarning", "ignore:.*quantiz:UserWarning")
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_what_gelu_accepts_beyond_plain_tensors_goes_to_it():
    values = torch.linspace(-3, 3, 40)
    quantised = torch.quantize_per_tensor(values, 0.05, 128, torch.quint8)
    assert torch.equal(gelu(quantised).dequantize(), F.gelu(quantised).dequantize())
    for layout in (torch.jagged, torch.strided):
        nested = torch.nested.nested_tensor([torch.randn(2, 3), torch.randn(4, 3)], layout=layout)
        for ours, theirs in zip(gelu(nested).unbind(), F.gelu(nested).unbind(), strict=True):
            assert torch.equal(ours, theirs)
    dense_again = values.to_mkldnn()
    assert torch.equal(gelu(dense_again).to_dense(), F.gelu(dense_again).to_dense())


def test_meta_and_fake_tensors():
    from torch._subclasses.fake_tensor import FakeTensorMode

    meta = torch.empty(2, 3, 4, device="meta").transpose(0, 1)
    assert gelu(meta).stride() == F.gelu(meta).stride()
    with FakeTensorMode() as mode:
        fake = gelu(torch.empty(2, 3))
    assert fake.shape == (2, 3)
    assert type(gelu(mode.from_tensor(torch.ones(5)))) is type(fake)


SHAPES = {
    "zero size": lambda: torch.empty(0),
    "zero size in the middle": lambda: torch.empty(2, 0, 3),
    "0-dim": lambda: torch.tensor(-1.5),
    "one": lambda: torch.tensor([[0.25]]),
    "transposed": lambda: torch.randn(6, 7).T,
    "permuted": lambda: torch.randn(3, 4, 5).permute(2, 0, 1),
    "channels last": lambda: torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "every second": lambda: torch.randn(5, 14)[:, ::2],
    "every second of a transposed": lambda: torch.randn(5, 14).T[::2],
    "expanded": lambda: torch.randn(1, 7).expand(5, 7),
    "broadcast scalar": lambda: torch.tensor(0.5).expand(3, 4),
    "overlapping": lambda: torch.randn(20).as_strided((5, 7), (2, 1)),
    "offset by one": lambda: torch.randn(64)[1:],
    "a negative view": lambda: torch._neg_view(torch.randn(9)),
    "an odd stride of a dimension of one": lambda: torch.randn(12).as_strided((1, 12), (5, 1)),
}


def strides(x):
    """Where there is a choice: a dimension of one has any stride."""
    return [stride for stride, size in zip(x.stride(), x.shape, strict=True) if size > 1]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_and_strides(shape, dtype):
    x = SHAPES[shape]().to(dtype)
    expected = F.gelu(x)
    torch.testing.assert_close(gelu(x), expected)
    assert strides(gelu(x)) == strides(expected)
    before = x.clone()
    leaf = x.detach().requires_grad_()
    for grad in (torch.randn_like(expected), torch.ones(()).to(dtype).expand(x.shape)):
        ours, theirs = (torch.autograd.grad(f(leaf), leaf, grad)[0] for f in (gelu, F.gelu))
        torch.testing.assert_close(ours, theirs)
        assert strides(ours) == strides(theirs)
    assert torch.equal(x, before)


@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh", "gelu_quick", "silu"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_extremes(activation, dtype):
    """PyTorch's own ops return NaN for most of these."""
    infinity, largest, tiny = float("inf"), torch.finfo(dtype).max, torch.finfo(dtype).tiny
    x = torch.tensor([infinity, -infinity, float("nan"), 0.0, -0.0, largest, -largest, tiny, -tiny] * 9, dtype=dtype)
    x.requires_grad_()
    y = CPU.function(activation)(x)
    y.backward(torch.ones_like(y))
    value, slope = y.detach().double()[:9], x.grad.double()[:9]
    assert value[0] == infinity
    assert value[1] == 0
    assert value[2].isnan()
    assert slope[2].isnan()
    assert value[3:5].tolist() == [0, 0]
    assert value[3:5].signbit().tolist() == [False, True]
    assert value[5] == largest
    assert value[6] == 0
    assert slope[[0, 5]].tolist() == [1, 1]
    assert slope[[1, 6]].tolist() == [0, 0]
    assert slope[[3, 4]].tolist() == [0.5, 0.5]
    assert (value[7:] - torch.tensor([tiny / 2, -tiny / 2])).abs().max() <= torch.finfo(dtype).eps * tiny


def test_integers_cannot_be_served_and_the_answer_says_so():
    assert "serves float32" in CPU.answer(Request("gelu", "cpu", torch.int64)).reason
    assert "runs on CPUs" in CPU.answer(Request("gelu", "cuda", torch.float32)).reason
    assert "it has no" in CPU.answer(Request("gelu_10", "cpu", torch.float32)).reason


def test_an_input_that_changed_before_backward_is_noticed():
    leaf = torch.randn(8, requires_grad=True)
    x = leaf * 1
    y = gelu(x)
    x.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_copies_of_the_module_compute_the_same():
    module = KernelActivation("gelu", "cpu", original=torch.nn.GELU(), origin="gelu")
    x = torch.randn(33)
    assert torch.equal(copy.deepcopy(module)(x), module(x))
