"""Derivatives and transforms of a compiled kernel: right, or the ATen form in its place."""

import io
import shutil

import pytest
import torch
from functorch.compile import make_boxed_func
from torch import nn
from torch._dynamo.backends.common import aot_autograd
from torch.autograd import forward_ad
from torch.func import functional_call, grad, hessian, jacrev, jvp, vmap
from torch.nn import functional as F

from gelu_patch.activations import activations
from gelu_patch.kernels import Accepted, KernelActivation, Request, kernels

CPU, EAGER = kernels.get("cpu"), kernels.get("eager")
SERVED = [name for name in activations.names() if isinstance(CPU.answer(Request(name, "cpu", torch.float32)), Accepted)]
pytestmark = pytest.mark.skipif(not SERVED, reason="the C extension is not built")
each = pytest.mark.parametrize("activation", SERVED)


def pair(activation):
    return CPU.function(activation), EAGER.function(activation)


def module():
    site = KernelActivation("gelu_tanh", "cpu", original=nn.GELU("tanh"), origin="gelu_tanh")
    return nn.Sequential(nn.Linear(5, 8), site, nn.Linear(8, 3))


@each
@pytest.mark.filterwarnings("ignore:Input #. requires gradient and is not a double")
def test_gradcheck_in_single_precision(activation):
    function = CPU.function(activation)
    x = torch.tensor([-2.5, -1.0, -0.3, 0.2, 0.9, 2.0, 3.5] * 3, requires_grad=True)
    options = {"eps": 1e-2, "atol": 2e-3, "rtol": 2e-3, "nondet_tol": 0.0}
    assert torch.autograd.gradcheck(function, x, check_batched_grad=True, **options)
    outer = torch.linspace(-1, 1, 21).requires_grad_()
    assert torch.autograd.gradgradcheck(function, x, outer, check_batched_grad=True, **options)


@each
def test_every_derivative_against_the_aten_form_in_double(activation):
    ours, theirs = pair(activation)
    values = torch.linspace(-4, 4, 64)
    values = values[values.abs() > 0.05]

    def derivatives(function, x, orders):
        found, y = [], function(x)
        for _ in range(orders):
            (y,) = torch.autograd.grad(y.sum(), x, create_graph=True)
            found.append(y)
        return found

    orders = 2 if activation == "relu2" else 3
    single = derivatives(ours, values.clone().requires_grad_(), orders)
    double = derivatives(theirs, values.double().requires_grad_(), orders)
    for found, expected in zip(single, double, strict=True):
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)
    grads = []
    for function, dtype in ((ours, torch.float32), (theirs, torch.float64)):
        x, weight = values.to(dtype).requires_grad_(), torch.linspace(1, 2, len(values), dtype=dtype).requires_grad_()
        (first,) = torch.autograd.grad(function(x), x, weight, create_graph=True)
        grads.append(torch.autograd.grad(first.square().sum(), (x, weight)))
    for found, expected in zip(*grads, strict=True):
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)


@each
def test_forward_mode_and_transforms_are_those_of_the_aten_form(activation):
    ours, theirs = pair(activation)
    x, tangent = torch.randn(4, 5), torch.randn(4, 5)
    with forward_ad.dual_level():
        duals = [forward_ad.unpack_dual(f(forward_ad.make_dual(x, tangent))) for f in (ours, theirs)]
        assert duals[0].tangent is not None
        assert torch.equal(duals[0].tangent, duals[1].tangent)
    for transform in (
        lambda f: jvp(f, (x,), (tangent,))[1],
        lambda f: vmap(f)(x),
        lambda f: vmap(vmap(f), in_dims=1)(x),
        lambda f: grad(lambda v: f(v).sum())(x),
        lambda f: jacrev(f)(x[0]),
        lambda f: vmap(grad(lambda v: f(v).sum()))(x),
    ):
        torch.testing.assert_close(transform(ours), transform(theirs))
    if activation != "relu2":
        torch.testing.assert_close(hessian(lambda v: ours(v).sum())(x[0]), hessian(lambda v: theirs(v).sum())(x[0]))


def test_forward_over_reverse():
    ours, theirs = pair("gelu")
    x, outer, tangent = torch.randn(6, requires_grad=True), torch.randn(6), torch.randn(6)
    found = []
    for function in (ours, theirs):
        y = function(x)
        with forward_ad.dual_level():
            (result,) = torch.autograd.grad(y, x, forward_ad.make_dual(outer, tangent))
            found.append(forward_ad.unpack_dual(result))
    torch.testing.assert_close(found[0].tangent, found[1].tangent)
    torch.testing.assert_close(found[0].primal, found[1].primal)


def test_compiled_code_calls_the_kernel_as_an_operator():
    model, x = module(), torch.randn(7, 5)
    expected = model(x)
    expected_grad = torch.autograd.grad(expected.sum(), model[0].weight)[0]
    graphs = []

    def keep(graph, inputs):
        graphs.append(graph)
        return make_boxed_func(graph.forward)

    compiled = torch.compile(model, backend=aot_autograd(fw_compiler=keep, bw_compiler=keep), fullgraph=True)
    assert torch.equal(compiled(x), expected)
    assert torch.equal(torch.autograd.grad(compiled(x).sum(), model[0].weight)[0], expected_grad)
    with torch.no_grad():
        assert torch.equal(compiled(x), expected)
    called = [node.target for graph in graphs for node in graph.graph.nodes]
    assert torch.ops.gelu_patch.activation.default in called
    assert torch.ops.gelu_patch.activation_backward.default in called


@pytest.mark.parametrize("transform", [grad, lambda f: lambda x: jvp(f, (x,), (x,))[1], lambda f: vmap(f)])
def test_transforms_inside_of_compiled_code(transform):
    function, reference = pair("gelu")
    x = torch.randn(5)

    def both(f):
        wrapped = (lambda x: f(x).sum()) if transform is grad else f
        return transform(wrapped)(x)

    found = torch.compile(lambda: both(function), backend="aot_eager")()
    torch.testing.assert_close(found, both(reference))


@each
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_the_operators_keep_the_rules_of_pytorch(activation, dtype):
    CPU.function(activation)
    for x in (torch.randn(3, 4), torch.randn(4, 3).t(), torch.randn(2, 6)[:, ::2], torch.randn(()), torch.randn(0, 3)):
        x = x.to(dtype).requires_grad_(dtype == torch.float32)
        torch.library.opcheck(torch.ops.gelu_patch.activation.default, (x, activation))
        inputs = (torch.randn(x.shape).to(dtype), x.detach(), activation)
        torch.library.opcheck(torch.ops.gelu_patch.activation_backward.default, inputs)


def test_export_sees_the_aten_operator():
    model, x = module(), torch.randn(7, 5)
    expected = model(x)
    for strict in (False, True):
        program = torch.export.export(model, (x,), strict=strict)
        assert [node for node in program.graph.nodes if node.target is torch.ops.aten.gelu.default]
        torch.testing.assert_close(program.module()(x), expected)


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="Inductor needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")  # its imports
def test_inductor_trains():
    model, x = module(), torch.randn(7, 5)
    expected = torch.autograd.grad(model(x).sum(), model[0].weight)[0]
    compiled = torch.compile(model, fullgraph=True)
    found = torch.autograd.grad(compiled(x).sum(), model[0].weight)[0]
    torch.testing.assert_close(found, expected)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_traced_model_holds_the_operator_and_not_one_run():
    model = module()
    traced = torch.jit.trace(model, torch.randn(7, 5))
    assert "aten::gelu" in str(traced.inlined_graph)
    buffer = io.BytesIO()
    torch.jit.save(traced, buffer)
    buffer.seek(0)
    other = torch.randn(2, 5)
    torch.testing.assert_close(torch.jit.load(buffer)(other), model(other))


def test_an_onnx_program_holds_gelu():
    pytest.importorskip("onnxscript")
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        program = torch.onnx.export(module(), (torch.randn(7, 5),), dynamo=True, verbose=False)
    assert "Gelu" in {node.op_type for node in program.model.graph} | {f.name for f in program.model.functions.values()}


def test_autocast_keeps_the_dtype_that_arrives():
    model, x = module(), torch.randn(7, 5)
    with torch.autocast("cpu", torch.bfloat16):
        y = model(x)
        y.float().sum().backward()
    assert y.dtype == torch.bfloat16
    assert model[0].weight.grad.dtype == torch.float32
    for dtype in (torch.float32, torch.bfloat16):
        with torch.autocast("cpu", torch.bfloat16):
            assert model[1](x.to(dtype)).dtype == F.gelu(x.to(dtype), approximate="tanh").dtype


def test_checkpointing_functional_call_and_inference_mode():
    from torch.utils.checkpoint import checkpoint

    model, x = module(), torch.randn(7, 5)
    plain = torch.autograd.grad(model(x).sum(), model[0].weight)[0]
    for reentrant in (False, True):
        y = checkpoint(model, x.clone().requires_grad_(), use_reentrant=reentrant)
        assert torch.equal(torch.autograd.grad(y.sum(), model[0].weight)[0] if not reentrant else plain, plain)
    doubled = {name: 2 * value for name, value in model.named_parameters()}
    assert functional_call(model, doubled, (x,)).requires_grad
    with torch.inference_mode():
        assert torch.equal(model(x), model(x))


def test_subclasses_keep_their_type_and_modes_their_sight():
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import FlopCounterMode

    class Kept(torch.Tensor):
        pass

    assert type(CPU.function("gelu")(torch.randn(4).as_subclass(Kept))) is Kept
    seen = []

    class Spy(TorchDispatchMode):
        def __torch_dispatch__(self, op, types, args=(), kwargs=None):
            seen.append(op)
            return op(*args, **(kwargs or {}))

    with Spy(), FlopCounterMode(display=False):
        CPU.function("gelu")(torch.randn(4))
    assert torch.ops.aten.gelu.default in seen


def test_a_parameter_is_served_and_gets_its_gradient():
    weight = nn.Parameter(torch.randn(40))
    CPU.function("gelu")(weight).sum().backward()
    expected = torch.autograd.grad(F.gelu(weight).sum(), weight)[0]
    torch.testing.assert_close(weight.grad, expected)
