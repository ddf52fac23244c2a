"""Ways of differentiating and batching: forward mode, vmap, functional_call, double backward, traced and scripted."""

from __future__ import annotations

import copy
import io

import pytest
import torch
import torch.autograd.forward_ad as fwAD
from torch.func import functional_call, grad, jvp, vmap

from gelu_patch.activations import activations
from gelu_patch.kernels import KernelActivation
from gelu_patch.patching import patch_model
from tests.traps.helpers import (
    TARGETS,
    Logits,
    assert_same,
    every_case,
    every_pretrained,
    every_target,
    every_toy,
    frozen_output,
    gradients,
    output,
    rows,
    trap,
)
from tests.zoo import Mlp

every_activation = pytest.mark.parametrize("name", activations.names())


@trap(15, 16)
@every_toy
@every_target
def test_forward_mode(case, target):
    found, expected = case.patched(target), case.stock(TARGETS[target])
    x, direction = rows()["x"], torch.randn(4, 8)
    for by in (by_jvp, by_dual_numbers):
        for mine, reference in zip(by(found, x, direction), by(expected, x, direction), strict=True):
            assert_same(mine, reference)


def by_jvp(model, x, direction):
    return jvp(model, (x,), (direction,))


def by_dual_numbers(model, x, direction):
    with fwAD.dual_level():
        return fwAD.unpack_dual(model(fwAD.make_dual(x, direction)))


@trap(15)
@pytest.mark.parametrize("name", [activation.name for activation in activations if not activation.approximates])
def test_gradcheck_forward_batched_and_twice(name):
    act = KernelActivation(name, "eager", original=None, origin="gelu")
    x = torch.linspace(-2.9, 3.1, 7, dtype=torch.float64, requires_grad=True)  # away from kinks
    torch.autograd.gradcheck(act, (x,), check_forward_ad=True, check_batched_grad=True, check_batched_forward_grad=True)
    torch.autograd.gradgradcheck(act, (x,), check_fwd_over_rev=True, check_rev_over_rev=True)


@trap(16, 18)
@every_toy
@every_target
def test_vmap_without_a_slow_fallback(case, target):
    """Warnings are errors here, and the fallback warns."""
    found, expected = case.patched(target), case.stock(TARGETS[target])
    assert_same(vmap(found)(rows()["x"]), expected(rows()["x"]))
    assert_same(per_sample(found), per_sample(expected))


def per_sample(model):
    """Gradients of each row on its own."""
    parameters = {name: value.detach() for name, value in model.named_parameters()}

    def loss(values, x):
        return functional_call(model, values, (x,)).square().mean()

    return vmap(grad(loss), in_dims=(None, 0))(parameters, rows()["x"])


@every_case
@every_target
def test_functional_call_with_other_weights(case, target):
    found, expected = case.patched(target), case.stock(TARGETS[target])
    weights = {name: 1.1 * value.detach() for name, value in expected.named_parameters()}
    outputs = [functional_call(model, weights, (), case.inputs()) for model in (found, expected)]
    assert_same(*[out if isinstance(out, torch.Tensor) else out[0] for out in outputs])


@every_case
@every_target
def test_double_backward(case, target):
    found, expected = case.patched(target), case.stock(TARGETS[target])
    assert_same(penalty(found, case), penalty(expected, case))


def penalty(model, case):
    """Gradients of the norm of the gradient."""
    if hasattr(model, "set_attn_implementation"):
        model.set_attn_implementation("eager")  # PyTorch's fused attention has no second derivative
    parameters = {name: value for name, value in model.named_parameters() if "position" not in name}
    out = output(model, case.inputs()).square().mean()
    first = torch.autograd.grad(out, list(parameters.values()), create_graph=True, allow_unused=True)
    norm = sum(value.square().sum() for value in first if value is not None).sqrt()
    second = torch.autograd.grad(norm, list(parameters.values()), allow_unused=True)
    return {name: value for name, value in zip(parameters, second, strict=True) if value is not None}


# Tracing warns of every branch of a Transformers model and reads its deprecated properties, patched or not.
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:`is_gradient_checkpointing`:FutureWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit.(trace|save|load|trace_method)` is deprecated:DeprecationWarning")
@trap(16)
@every_case
@every_target
def test_jit_trace_saved_and_loaded(case, target):
    (x,) = case.inputs().values()
    traced = torch.jit.trace(Logits(case.patched(target)), x)
    file = io.BytesIO()
    torch.jit.save(traced, file)
    file.seek(0)
    loaded = torch.jit.load(file)
    assert_same(loaded(x), frozen_output(case.stock(TARGETS[target]), case.inputs()))


@every_activation
def test_jit_script(name):
    model = Mlp(torch.nn.GELU())
    patch_model(model, name, allow_empty=True)
    # These read a constant of their module or have a derivative of their own; the compiler says so.
    if name in {"gelu_quick", "gelu_10"} or activations.get(name).approximates:
        with pytest.raises(RuntimeError, match="KernelActivation"):
            torch.jit.script(model)
    else:
        assert_same(torch.jit.script(model)(rows()["x"]), model(rows()["x"]))


@every_pretrained
@every_target
def test_gradients_after_a_copy_in_other_dtypes(case, target):
    """`.to()` moves parameters under the patch."""
    found, expected = case.patched(target).double(), case.stock(TARGETS[target]).double()
    assert_same(gradients(copy.deepcopy(found), case.inputs()), gradients(expected, case.inputs()), tolerance=1e-9)
    half = case.patched(target).to(torch.bfloat16)
    reference = case.stock(TARGETS[target]).to(torch.bfloat16)
    assert_same(frozen_output(half, case.inputs()), frozen_output(reference, case.inputs()), tolerance=4e-2)
