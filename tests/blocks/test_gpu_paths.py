"""Blocks around a kernel with GPU launches, by Triton's interpreter on a CPU: the same dispatch, guards and graphs."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gelu_patch.blocks import gated
from gelu_patch.kernels import KernelActivation, cublaslt
from gelu_patch.kernels.sums import Sums
from gelu_patch.kernels.triton.kernel import elementwise
from gelu_patch.patching import patch_model
from gelu_patch.timing.memory import measure_saved
from tests.blocks.gradients import gradients
from tests.interpreted import interpreted, needs_the_interpreter  # noqa: F401
from tests.zoo import GatedMlp, Mlp, Stack
from tests.zoo_inline import WIDTH

pytestmark = [*needs_the_interpreter, pytest.mark.usefixtures("interpreted")]


MODELS = {
    "erf": lambda: Mlp(nn.GELU()),
    "tanh": lambda: Mlp(nn.GELU("tanh")),
    "gated erf": lambda: GatedMlp(nn.GELU()),
    "gated tanh": lambda: GatedMlp(nn.GELU("tanh")),
}
each = pytest.mark.parametrize("name", MODELS)


def assert_close(found, expected, tolerance=2e-6):
    scale = max(1.0, float(expected.abs().max()))
    assert float((found - expected).abs().max()) <= tolerance * scale


@each
def test_inference_and_training_are_those_of_the_model(name):
    model, x = MODELS[name](), torch.randn(3, 5, WIDTH)
    reference = copy.deepcopy(model).double()
    patch = patch_model(model, "gelu_fused")
    assert "interpreted" in str(patch)
    with torch.no_grad():
        assert_close(model(x).double(), reference(x.double()))
    expected = gradients(reference, x.double())
    for key, gradient in gradients(model, x).items():
        assert_close(gradient.double(), expected[key], 1e-5)


@pytest.mark.parametrize("differentiable", [False, True])
def test_gated_gradients_are_by_the_kernel_unless_they_are_to_be_differentiated(differentiable, monkeypatch):
    asked, original = [], gated.by_autograd
    monkeypatch.setattr(gated, "by_autograd", lambda *args: asked.append(args) or original(*args))
    model = GatedMlp(nn.GELU())
    patch_model(model, "gelu_fused")
    loss = model(torch.randn(3, WIDTH)).square().sum()
    torch.autograd.grad(loss, list(model.parameters()), create_graph=differentiable)
    assert len(asked) == differentiable


@each
@pytest.mark.parametrize("autocast", [False, True], ids=["", "autocast"])
def test_gradients_have_the_same_bits_in_every_memory_mode(name, autocast):
    model, x, found = MODELS[name](), torch.randn(7, WIDTH), {}
    stock = gradients(model, x, autocast=autocast)
    for memory in ("speed", "balanced", "max"):
        with patch_model(model, "gelu_fused", memory=memory):
            found[memory] = gradients(model, x, autocast=autocast)
    for key, gradient in found["speed"].items():
        assert_close(gradient, stock[key], 5e-2 if autocast else 1e-5)
    for key, gradient in found["speed"].items():
        assert torch.equal(gradient, found["balanced"][key]), key
        assert torch.equal(gradient, found["max"][key]), key


def test_what_training_keeps():
    """Bytes of the inner width (four of the outer one) for each memory mode."""
    kept = {}
    x = torch.randn(5, WIDTH)
    narrow, wide = x.nbytes, 16 * len(x) * 4
    for name in ("tanh", "gated tanh"):
        for memory in ("speed", "balanced", "max"):
            model = Stack(MODELS[name](), MODELS[name]())
            patch_model(model, "gelu_fused", memory=memory)
            saved = measure_saved(model, {"x": x}, tuple(x.shape)).saved_for_backward_bytes
            kept[name, memory] = (saved / 2 - narrow) / wide
    assert kept == {
        ("tanh", "speed"): 2, ("tanh", "balanced"): 1, ("tanh", "max"): 0,
        ("gated tanh", "speed"): 3, ("gated tanh", "balanced"): 2, ("gated tanh", "max"): 1,
    }  # fmt: skip


@pytest.fixture
def sums(monkeypatch):
    """What the Linear's backward got from the activation's."""
    taken = []
    original = Sums.take

    def take(self, grad):
        found = original(self, grad)
        taken.append(found)
        return found

    monkeypatch.setattr(Sums, "take", take)
    return taken


def test_the_bias_gets_its_gradient_from_the_activation_s_kernel(sums):
    model = Mlp(nn.GELU("tanh"))
    patch_model(model, "gelu_fused")
    gradients(model, torch.randn(2, 3, WIDTH))
    assert len(sums) == 1
    assert sums[0].shape == (16,)


@pytest.mark.parametrize("change", ["another tensor", "in place", "nothing given"])
def test_sums_of_another_gradient_are_not_taken(change):
    box, grad = Sums(), torch.randn(4, 3)
    if change != "nothing given":
        box.give(grad, grad.sum(0))
    if change == "in place":
        grad.mul_(2)
    arrived = grad.clone() if change == "another tensor" else grad.view(2, 2, 3)
    assert box.take(arrived) is None


def test_sums_are_taken_once_and_through_a_view():
    box, grad = Sums(), torch.randn(4, 3)
    box.give(grad.view(2, 2, 3), grad.sum(0))
    assert torch.equal(box.take(grad), grad.sum(0))
    assert box.take(grad) is None


@each
def test_second_derivatives(name):
    model = MODELS[name]()
    patch_model(model, "gelu_fused")
    x = torch.randn(2, WIDTH, requires_grad=True)
    (first,) = torch.autograd.grad(model(x).square().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), x)
    reference, z = copy.deepcopy(model).double(), x.detach().double().requires_grad_()
    (first,) = torch.autograd.grad(reference(z).square().sum(), z, create_graph=True)
    assert_close(second.double(), torch.autograd.grad(first.square().sum(), z)[0], 1e-4)


@pytest.fixture
def multiplied(monkeypatch):
    """How often a product was computed in one pass with its activation."""
    calls = []
    original = gated._launches
    monkeypatch.setattr(gated, "_launches", lambda kernel: calls.append(kernel) or original(kernel))
    return calls


@pytest.mark.parametrize("model", ["t5", "gemma"])
def test_gated_models_of_transformers(model, multiplied):
    import transformers

    if model == "t5":
        config = transformers.T5Config(
            d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2, vocab_size=50, feed_forward_proj="gated-gelu"
        )
        network = transformers.T5EncoderModel(config).eval()
    else:
        config = transformers.GemmaConfig(
            hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1,
            head_dim=8, vocab_size=50,
        )  # fmt: skip
        network = transformers.GemmaModel(config).eval()
    ids = torch.arange(8).reshape(1, 8)
    with torch.no_grad():
        expected = network(input_ids=ids)[0]
        patch_model(network, "gelu_fused")
        found = network(input_ids=ids)[0]
    assert_close(found, expected, 1e-5)
    assert multiplied
    before = len(multiplied)
    network(input_ids=ids)[0].sum().backward()
    assert len(multiplied) == before + 2 + (model == "gemma") or len(multiplied) >= before + 2


def test_a_factor_that_broadcasts_or_promotes_is_multiplied_by_pytorch(multiplied):
    kernel, gate = elementwise("gelu", "cpu"), torch.randn(3, 4)
    module = nn.GELU()
    module.memory = "balanced"
    for other in (torch.randn(4), torch.randn(3, 4).double(), 2.0, torch.randn(4, 3).t()):
        pending = gated.Pending(gate.clone(), module, kernel)
        assert_close(pending * other, F.gelu(gate) * other)
    assert not multiplied


VIEWS = {
    "one element on": lambda memory: memory[1:61].view(6, 10),
    "every second": lambda memory: memory[:120:2].view(6, 10),
    "transposed": lambda memory: memory[:60].view(10, 6).t(),
    "columns": lambda memory: memory[:120].view(6, 20)[:, 3:13],
    "the same row six times": lambda memory: memory[:10].expand(6, 10),
    "none": lambda memory: memory[:0].view(0, 10),
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_memory_that_is_misaligned_or_has_gaps(view, dtype):
    kernel, memory = elementwise("gelu", "cpu"), torch.randn(128).to(dtype)
    x, grad = VIEWS[view](memory), VIEWS[view](memory.flip(0))
    leaf = x.detach().requires_grad_()
    found = kernel(leaf)
    (slope,) = torch.autograd.grad(found, leaf, grad)
    same = x.clone(memory_format=torch.contiguous_format).requires_grad_()
    expected = kernel(same)
    (expected_slope,) = torch.autograd.grad(expected, same, grad.contiguous())
    assert torch.equal(found, expected)
    assert torch.equal(slope, expected_slope)
    gate, other = VIEWS[view](memory), VIEWS[view](memory.flip(0))
    product = gated.Pending(gate.clone(), KernelActivation("gelu", "cpu", nn.GELU(), "gelu"), kernel) * other
    assert torch.allclose(product.float(), (expected.detach() * other).float(), rtol=2e-3, atol=1e-6)


def test_float64_has_the_bits_of_pytorch_s_op():
    x = torch.randn(7, dtype=torch.float64, requires_grad=True)
    found, expected = elementwise("gelu_tanh", "cpu")(x), F.gelu(x, approximate="tanh")
    assert torch.equal(found, expected)
    slopes = (torch.autograd.grad(y.sum(), x)[0] for y in (found, expected))
    assert torch.equal(*slopes)


def test_factors_on_two_devices_are_pytorch_s_error(multiplied):
    pending = gated.Pending(
        torch.randn(3, 4), KernelActivation("gelu", "cpu", nn.GELU(), "gelu"), elementwise("gelu", "cpu")
    )
    with pytest.raises(RuntimeError, match="device"):
        pending * torch.randn(3, 4, device="meta")
    assert not multiplied


def test_a_model_moved_to_another_device_asks_for_the_kernel_there():
    """The function of the "cpu" kernel on a meta tensor, which stands for any other device."""
    from gelu_patch.kernels import kernels

    function = kernels.get("cpu").function("gelu")
    assert function(torch.empty(3, device="meta")).device.type == "meta"


def test_the_erf_of_a_cpu_does_not_pass_for_tanh():
    """``_addmm_activation`` is the erf form on CPUs: the check must see the difference of 4.7e-4."""
    for dtype in cublaslt.DTYPES:
        found = cublaslt.self_check(torch.device("cpu"), dtype)
        assert "self-check failed: off from gelu_tanh" in found


def test_a_default_device_changes_nothing_about_the_self_check():
    with torch.device("meta"):
        assert "off from gelu_tanh" in cublaslt.self_check(torch.device("cpu"), torch.bfloat16)


def test_the_self_check_passes_the_tanh_form_with_a_rounding(monkeypatch):
    def tanh(bias, rows, matrix):
        return F.gelu(rows.float() @ matrix.float() + bias.float(), approximate="tanh").to(rows.dtype)

    monkeypatch.setattr(cublaslt, "linear_gelu", tanh)
    for dtype in cublaslt.DTYPES:
        assert cublaslt.self_check(torch.device("cpu"), dtype) == ""
