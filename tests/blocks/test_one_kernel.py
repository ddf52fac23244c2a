"""Linear and GELU by ``_addmm_activation``, with the CPU in the place of a GPU: dispatch, layouts, compiled code."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers.pytorch_utils import Conv1D

from gelu_patch.blocks import compiled, inference
from gelu_patch.blocks.product import product_of
from gelu_patch.kernels import KernelActivation, cublaslt, kernels, register_kernel
from gelu_patch.kernels.cpu.kernel import CpuKernel
from gelu_patch.patching import patch_model
from tests.zoo import Mlp
from tests.zoo_inline import WIDTH


def why_not(activation, device, dtype):
    return "" if (activation, dtype) == ("gelu_tanh", torch.bfloat16) else "tanh in bfloat16 only"


@pytest.fixture
def calls(monkeypatch):
    """The CPU as a device where the fusion is allowed; its op, made the tanh form that it is on CUDA."""
    seen = []

    def tanh(bias, rows, matrix):
        seen.append((bias.shape, rows.shape, matrix.shape, matrix.is_contiguous()))
        return F.gelu(torch.addmm(bias, rows, matrix), approximate="tanh")

    monkeypatch.setattr(cublaslt, "DEVICE", "cpu")
    monkeypatch.setattr(cublaslt, "linear_gelu", tanh)
    monkeypatch.setattr(cublaslt, "why_not", why_not)
    return seen


def patched(approximate="tanh", up=None):
    model = Mlp(nn.GELU(approximate)).bfloat16().eval()
    if up is not None:
        model.up = up.bfloat16()
    patch_model(model, "gelu_fused")
    return model


@pytest.mark.parametrize("up", [None, Conv1D(16, WIDTH)], ids=["Linear", "Conv1D"])
@pytest.mark.parametrize("shape", [(5, WIDTH), (2, 3, WIDTH), (WIDTH,)])
def test_inference_takes_one_kernel_with_the_weight_as_it_lies(calls, up, shape):
    model, x = patched(up=up), torch.randn(shape).bfloat16()
    expected = model.down(F.gelu(model.up(x), approximate="tanh"))
    with torch.no_grad():
        assert torch.allclose(model(x), expected, atol=1e-2)
    assert len(calls) == 1
    assert calls[0][3] == (up is not None)


def test_other_mathematics_other_modes_and_other_linears_do_not(calls):
    x = torch.randn(5, WIDTH).bfloat16()
    with torch.no_grad():
        patched("none")(x)
        patched(up=nn.Linear(WIDTH, 16, bias=False))(x)
        patched()(x[:0])
    patched()(x).sum().backward()
    assert not calls


def tanh_module():
    return KernelActivation("gelu_tanh", "cpu", nn.GELU("tanh"), "gelu_tanh")


class Mine(CpuKernel):
    """What somebody registers, to be taken before all others."""

    name = "mine"
    priority = 1000


def test_the_kernel_that_somebody_registers_is_the_one_that_runs(calls):
    register_kernel(Mine())
    try:
        model, x = patched(), torch.randn(5, WIDTH).bfloat16()
        assert model.act.kernel == "mine"
        with torch.no_grad():
            model(x)
            _, targets = graph_of(model, x)
    finally:
        kernels.unregister("mine")
    assert not calls
    assert torch._addmm_activation not in targets


@pytest.mark.parametrize("wrong", ["x", "weight", "bias"])
@pytest.mark.parametrize("autocast", [False, True])
def test_float64_and_mixed_dtypes_do_not(calls, wrong, autocast):
    product = product_of(Conv1D(16, WIDTH).bfloat16(), torch.randn(4, WIDTH).bfloat16())
    changed = product._replace(**{wrong: getattr(product, wrong).detach().double()})
    tanh = tanh_module()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        assert inference.takes_one_kernel(product, tanh)
        assert not inference.takes_one_kernel(changed, tanh)


@pytest.mark.parametrize("elsewhere", ["x", "weight", "bias"])
def test_tensors_on_two_devices_do_not(calls, elsewhere):
    product = product_of(Conv1D(16, WIDTH).bfloat16(), torch.randn(4, WIDTH).bfloat16())
    moved = product._replace(**{elsewhere: getattr(product, elsewhere).detach().to("meta")})
    assert inference.takes_one_kernel(product, tanh_module())
    assert not inference.takes_one_kernel(moved, tanh_module())


@pytest.mark.parametrize(("features", "takes"), [(1, False), (2, True)])
def test_a_weight_of_one_row_or_column_does_not(calls, features, takes):
    for layer in (nn.Linear(features, 16), nn.Linear(16, features), Conv1D(features, 16), Conv1D(16, features)):
        width = layer.weight.shape[0] if isinstance(layer, Conv1D) else layer.weight.shape[1]
        product = product_of(layer.bfloat16(), torch.randn(4, width).bfloat16())
        assert inference.takes_one_kernel(product, tanh_module()) == takes


@pytest.mark.parametrize(("layer", "fuses"), [(Conv1D(16, WIDTH), True), (nn.Linear(WIDTH, 16), False)])
def test_under_autocast_only_where_the_cast_of_the_weight_is_cached(calls, layer, fuses):
    product = product_of(layer, torch.randn(4, WIDTH))
    with torch.autocast("cpu", torch.bfloat16):
        assert inference.takes_one_kernel(product, tanh_module()) == fuses


class Case(NamedTuple):
    """A Linear and an activation in code that is being compiled."""

    linear: nn.Module
    activation: nn.Module
    x: torch.Tensor


def case(linear=None, activation=None, dtype=torch.bfloat16):
    return Case(linear or Conv1D(16, WIDTH).bfloat16(), activation or tanh_module(), torch.randn(4, WIDTH, dtype=dtype))


def hooked(module, register):
    getattr(module, register)(lambda *_: None)
    return module


def test_code_that_is_being_compiled_takes_it_by_what_a_compiler_can_see(calls):
    linear, activation, x = case()
    with torch.no_grad():
        assert torch.allclose(compiled.compute(linear, activation, x), activation(linear(x)), atol=1e-2)
    assert len(calls) == 1


@pytest.mark.parametrize(
    "other",
    {
        "no bias": lambda: case(nn.Linear(WIDTH, 16, bias=False).bfloat16()),
        "no Linear": lambda: case(nn.Sequential(nn.Linear(WIDTH, 16)).bfloat16()),
        "a hook before the product": lambda: case(hooked(Conv1D(16, WIDTH).bfloat16(), "register_forward_pre_hook")),
        "a hook behind the product": lambda: case(hooked(Conv1D(16, WIDTH).bfloat16(), "register_forward_hook")),
        "a hook on the activation": lambda: case(activation=hooked(tanh_module(), "register_forward_hook")),
        "PyTorch's activation": lambda: case(activation=nn.GELU("tanh")),
        "erf": lambda: case(activation=KernelActivation("gelu", "cpu", nn.GELU(), "gelu")),
        "a kernel of somebody": lambda: case(activation=KernelActivation("gelu_tanh", "eager", nn.GELU(), "gelu")),
    }.items(),
    ids=lambda named: named[0],
)
def test_code_that_is_being_compiled_leaves_the_rest_as_it_is(other, calls):
    linear, activation, x = other[1]()
    with torch.no_grad():
        assert torch.equal(compiled.compute(linear, activation, x), activation(linear(x)))
    assert not calls


def test_code_that_is_being_compiled_leaves_training_autocast_and_other_dtypes_as_they_are(calls):
    linear, activation, x = case()
    assert compiled.compute(linear, activation, x).requires_grad
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        compiled.compute(linear, activation, x)
    with torch.no_grad(), pytest.raises(RuntimeError, match="dtype"):
        compiled.compute(linear, activation, x.float())
    assert not calls


def graph_of(model, x):
    graphs = []

    def keep(graph, inputs):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    compiled = torch.compile(model, backend=keep, fullgraph=True)
    return compiled(x), [node.target for graph in graphs for node in graph.graph.nodes]


def test_compiled_inference_holds_the_one_kernel_and_training_pytorch_s_operations(calls, monkeypatch):
    monkeypatch.setattr(cublaslt, "linear_gelu", lambda *inputs: torch._addmm_activation(*inputs, use_gelu=True))
    model, x = patched(), torch.randn(5, WIDTH).bfloat16()
    with torch.no_grad():
        found, targets = graph_of(model, x)
    assert torch._addmm_activation in targets
    assert torch.allclose(found, model(x), atol=2e-2)
    _, targets = graph_of(model, x)
    assert torch._addmm_activation not in targets


@pytest.mark.parametrize("form", ["tanh", "erf, as on CPUs"])
def test_the_self_check_is_made_while_compiling_and_decides(monkeypatch, form):
    monkeypatch.setattr(cublaslt, "DEVICE", "cpu")
    monkeypatch.setattr(cublaslt, "_in_principle", lambda *_: "")
    monkeypatch.setattr(cublaslt, "_checked", {})
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: cublaslt.ARCHITECTURES[0])
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    made = []

    def linear_gelu(bias, rows, matrix):
        made.append(len(rows))
        if form == "tanh":
            return F.gelu(torch.addmm(bias.float(), rows.float(), matrix.float()), approximate="tanh").to(rows.dtype)
        return torch._addmm_activation(bias, rows, matrix, use_gelu=True)

    monkeypatch.setattr(cublaslt, "linear_gelu", linear_gelu)
    model, x = patched(), torch.randn(5, WIDTH).bfloat16()
    with torch.no_grad():
        found, _ = graph_of(model, x)
    assert made[0] == cublaslt._SIDE
    assert len(made) == (2 if form == "tanh" else 1)
    assert torch.allclose(found, model(x), atol=2e-2)


def test_an_exported_program_holds_pytorch_s_operations(calls):
    model, x = patched(), torch.randn(5, WIDTH).bfloat16()
    with torch.no_grad():
        program = torch.export.export(model, (x,))
    assert [node for node in program.graph.nodes if node.target is torch.ops.aten.gelu.default]
    assert not calls
