"""The Linear after an activation, and everything that autograd, checkpointing and compilers do with it."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from gelu_patch.patching import patch_model
from tests.blocks.gradients import gradients
from tests.blocks.one_launch import (
    MODES,
    InSteps,
    as_before,
    assert_same_bits,
    modes,
    without_capability,
)
from tests.interpreted import interpreted, needs_the_interpreter  # noqa: F401
from tests.zoo import Mlp
from tests.zoo_inline import WIDTH

pytestmark = [*needs_the_interpreter, pytest.mark.usefixtures("interpreted")]


@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_keeps_what_it_kept(reentrant, x, launches, monkeypatch):
    """Also where the forward ran before the patch: PyTorch counts what both keep."""

    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.mlp = Mlp(nn.GELU())

        def forward(self, x):
            return checkpoint(self.mlp, x, use_reentrant=reentrant)

    model = Checkpointed()
    expected = as_before(model, x, "balanced", monkeypatch)
    launches.clear()
    with patch_model(model, "gelu_fused"):
        assert_same_bits(gradients(model, x), expected)
    assert "backward_with_sums again" not in launches
    out = model(x.requires_grad_())
    patch_model(model, "gelu_fused")
    out.square().sum().backward()
    assert torch.allclose(x.grad, expected["x"], atol=1e-5)


def test_saved_tensor_hooks_of_somebody_else_see_what_they_saw(x, launches, monkeypatch):
    model = Mlp(nn.GELU())
    patch_model(model, "gelu_fused")
    shapes = {}
    for taken in (False, True):
        with monkeypatch.context() as context:
            if not taken:
                without_capability(context)
            shapes[taken] = []
            pack = lambda tensor, seen=shapes[taken]: seen.append(tensor.shape) or tensor  # noqa: E731
            with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
                model(x)
    assert shapes[True] == shapes[False]


@modes
def test_second_derivatives(memory):
    model = InSteps()
    patch_model(model, "gelu_fused", memory=memory)
    reference, x = copy.deepcopy(model).double(), torch.randn(3, WIDTH)
    seconds = []
    for each, inputs in ((model, x.clone().requires_grad_()), (reference, x.double().requires_grad_())):
        wanted = [inputs, *each.parameters()]
        firsts = torch.autograd.grad(each(inputs).square().sum(), wanted, create_graph=True)
        seconds.append(torch.autograd.grad(sum(first.square().sum() for first in firsts), wanted))
    for found, expected in zip(*seconds, strict=True):
        assert torch.allclose(found.double(), expected, rtol=1e-3, atol=1e-3)


@modes
def test_first_derivatives_with_a_graph_have_the_bits_they_had(memory, x, monkeypatch):
    model, leaf, found = InSteps(), x.requires_grad_(), {}
    for taken in (False, True):
        with monkeypatch.context() as context, patch_model(model, "gelu_fused", memory=memory):
            if not taken:
                without_capability(context)
            wanted = [leaf, *model.parameters()]
            found[taken] = torch.autograd.grad(model(leaf).square().sum(), wanted, create_graph=True)
    assert all(torch.equal(*both) for both in zip(found[False], found[True], strict=True))


@modes
def test_a_graph_that_is_kept_can_be_used_again_and_one_that_is_not_cannot(memory, x):
    model = InSteps()
    patch_model(model, "gelu_fused", memory=memory)
    loss = model(x).square().sum()
    first = torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)
    assert all(torch.equal(*both) for both in zip(first, torch.autograd.grad(loss, model.parameters()), strict=True))
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(loss, model.parameters())


@pytest.mark.parametrize("memory", MODES)
def test_a_weight_changed_in_between_is_refused(memory, x):
    model = InSteps()
    patch_model(model, "gelu_fused", memory=memory)
    loss = model(x).square().sum()
    with torch.no_grad():
        model.down.weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_many_gradients_at_once(x):
    model, leaf = InSteps(), x.requires_grad_()
    patch_model(model, "gelu_fused")
    out, wanted = model(leaf), [leaf, *model.parameters()]
    grads = torch.randn(3, *out.shape)
    batched = torch.autograd.grad(out, wanted, grads, is_grads_batched=True, retain_graph=True)
    for number, grad in enumerate(grads):
        for found, expected in zip(batched, torch.autograd.grad(out, wanted, grad, retain_graph=True), strict=True):
            assert torch.allclose(found[number], expected, rtol=1e-4, atol=1e-5)


def test_transforms_and_forward_mode_go_elsewhere(x, launches):
    model = InSteps()
    reference = copy.deepcopy(model)
    patch_model(model, "gelu_fused")
    parameters = dict(model.named_parameters())

    def loss(weights, each):
        return torch.func.functional_call(model, weights, (each,)).square().sum()

    per_example = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters, x)
    for name, expected in gradients(reference, x).items():
        if name != "x":
            assert torch.allclose(per_example[name].sum(0), expected, rtol=1e-4, atol=1e-4), name
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, torch.ones_like(x))
        tangent = torch.autograd.forward_ad.unpack_dual(model(dual)).tangent
    assert torch.allclose(tangent, torch.func.jvp(reference, (x,), (torch.ones_like(x),))[1], atol=1e-5)
    assert not launches


def test_compiled_code_holds_pytorch_s_operations(x, launches):
    model = InSteps()
    expected = gradients(copy.deepcopy(model), x)
    patch_model(model, "gelu_fused")
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    for name, gradient in gradients(compiled, x).items():
        assert torch.allclose(gradient, expected[name.removeprefix("_orig_mod.")], rtol=1e-4, atol=1e-5), name
    assert "backward_with_sums again" not in launches


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.jit
def test_traced_code_holds_pytorch_s_operations(x, launches):
    model = InSteps()
    patch_model(model, "gelu_fused")
    traced = torch.jit.trace(model, (x,), check_trace=False)
    assert torch.allclose(traced(x), model(x), atol=1e-5)
    assert "backward_with_sums again" not in launches
