"""When the Linear after an activation is left alone: what may be put on it, at any time."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from gelu_patch.blocks import down
from gelu_patch.kernels.triton import kernel as triton_kernel
from gelu_patch.patching import patch_model
from tests.blocks.gradients import gradients
from tests.blocks.one_launch import InSteps
from tests.interpreted import interpreted, needs_the_interpreter  # noqa: F401
from tests.zoo import Mlp, tiny_gpt2, tokens
from tests.zoo_inline import WIDTH

pytestmark = [*needs_the_interpreter, pytest.mark.usefixtures("interpreted")]


def hook(mlp):
    mlp.down.register_forward_hook(lambda module, args, output: output * 2)


def backward_hook(mlp):
    mlp.down.register_full_backward_hook(lambda module, by_input, by_output: (by_input[0] * 2,))


def own_forward(mlp):
    mlp.down.forward = lambda x: x[..., :WIDTH] * 3


def adapter(mlp):
    class Lora(nn.Linear):
        def forward(self, x):
            return super().forward(x) + 1

    lora = Lora(16, WIDTH)
    lora.load_state_dict(mlp.down.state_dict())
    mlp.down = lora


def parametrization(mlp):
    parametrizations.weight_norm(mlp.down)


def another_dtype(mlp):
    mlp.down.weight.data, mlp.down.bias.data = mlp.down.weight.data.double(), mlp.down.bias.data.double()
    mlp.down.forward = lambda x: nn.functional.linear(x.double(), mlp.down.weight, mlp.down.bias)


def a_subclass_of_a_tensor(mlp):
    class Weight(torch.Tensor):
        pass

    weight = mlp.down.weight.detach().as_subclass(Weight).requires_grad_()
    del mlp.down._parameters["weight"]
    mlp.down.weight = weight


def another_module(mlp):
    mlp.down = nn.Sequential(mlp.down, nn.Tanh())


CHANGES = [
    hook, backward_hook, own_forward, adapter, parametrization, another_dtype, a_subclass_of_a_tensor, another_module,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_is_put_on_the_down_projection_later_is_run(change, x, launches):
    model = Mlp(nn.GELU())
    reference = copy.deepcopy(model)
    patch_model(model, "gelu_fused")
    change(model)
    change(reference)
    for each in (model, reference):
        each(x).square().sum().backward()
    assert "backward_with_sums again" not in launches
    for name, parameter in reference.named_parameters():
        found, expected = model.get_parameter(name).grad, parameter.grad
        assert (found is None) == (expected is None), name
        assert found is None or torch.allclose(found, expected, rtol=1e-4, atol=1e-5), name


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_an_adapter_of_peft_put_on_after_the_patch(launches):
    peft = pytest.importorskip("peft")
    model = tiny_gpt2()
    patch_model(model, "gelu_fused")
    adapted = peft.get_peft_model(model, peft.LoraConfig(target_modules=["c_proj"], r=2, fan_in_fan_out=True))
    adapted(**tokens(), labels=tokens()["input_ids"]).loss.backward()
    assert "backward_with_sums again" not in launches
    assert any(p.grad is not None for name, p in adapted.named_parameters() if "mlp.c_proj.lora_B" in name)


class DropoutBetween(InSteps):
    def forward(self, x):
        x = self.dropout(self.act(self.up(x)))
        return self.down(x)


def test_dropout_between_keeps_them_apart(x, launches):
    model = DropoutBetween()
    patch_model(model, "gelu_fused")
    gradients(model, x)
    assert launches == ["forward", "forward", "backward_with_sums"]


def test_inputs_of_one_dimension_are_pytorch_s(launches):
    model = Mlp(nn.GELU())
    patch_model(model, "gelu_fused")
    gradients(model, torch.randn(WIDTH))
    assert "backward_with_sums again" not in launches


def test_a_tensor_that_the_kernel_refuses_goes_through_the_modules(x, monkeypatch, launches):
    model = Mlp(nn.GELU())
    expected = gradients(copy.deepcopy(model), x)
    patch_model(model, "gelu_fused")
    monkeypatch.setattr(down, "served", lambda *_: False)
    for name, gradient in gradients(model, x).items():
        assert torch.allclose(gradient, expected[name], rtol=1e-4, atol=1e-5), name
    assert "backward_with_sums again" not in launches


def test_a_kernel_without_the_launch_is_left_alone(x, launches, monkeypatch):
    original = triton_kernel.elementwise
    bare = lambda *args: dataclass_without(original(*args))  # noqa: E731
    monkeypatch.setattr("tests.interpreted.elementwise", bare)
    model = InSteps()
    patch_model(model, "gelu_fused")
    gradients(model, x)
    assert launches == ["forward", "forward", "backward_with_sums"]


def dataclass_without(kernel):
    from dataclasses import replace

    return replace(kernel, slope_again_with_sums=None)
