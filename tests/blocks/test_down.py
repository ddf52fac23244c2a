"""The Linear after an activation computed with it in training: one launch in backward, today's bits, today's guards."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint
from transformers.pytorch_utils import Conv1D

from gelu_patch.blocks import down
from gelu_patch.kernels.triton import kernel as triton_kernel
from gelu_patch.patching import patch_model
from gelu_patch.timing.memory import measure_saved
from tests.blocks.gradients import gradients
from tests.interpreted import interpreted, needs_the_interpreter  # noqa: F401
from tests.zoo import Mlp, Stack, tiny_bert, tiny_gpt2, tokens
from tests.zoo_inline import WIDTH

pytestmark = [*needs_the_interpreter, pytest.mark.usefixtures("interpreted")]

MODES = ("speed", "balanced", "max")
modes = pytest.mark.parametrize("memory", ["balanced", "max"])


class InSteps(Mlp):
    """GPT-2's MLP: Conv1D, a statement for each step, dropout at the end."""

    def __init__(self) -> None:
        super().__init__(nn.GELU("tanh"))
        self.up, self.down, self.dropout = Conv1D(16, WIDTH), Conv1D(WIDTH, 16), nn.Dropout(0.0)

    def forward(self, x):
        x = self.up(x)
        x = self.act(x)
        x = self.down(x)
        return self.dropout(x)


class WithoutBias(Mlp):
    def __init__(self) -> None:
        super().__init__(nn.GELU())
        self.up, self.down = nn.Linear(WIDTH, 16, bias=False), nn.Linear(16, WIDTH, bias=False)


class DropoutBetween(InSteps):
    def forward(self, x):
        x = self.dropout(self.act(self.up(x)))
        return self.down(x)


MLPS = {"nested, Linear": lambda: Mlp(nn.GELU()), "in steps, Conv1D": InSteps, "without bias": WithoutBias}
mlps = pytest.mark.parametrize("build", MLPS.values(), ids=MLPS.keys())


@pytest.fixture
def launches(monkeypatch):
    """The names of the launches, in the order in which they are made."""
    from gelu_patch.kernels.triton import launches as module

    made = []

    def counting(name):
        launch = getattr(module, name)

        def count(*args, **kwargs):
            made.append(name + (" again" if kwargs.get("again") is not None else ""))
            return launch(*args, **kwargs)

        monkeypatch.setattr(module, name, count)

    for name in ("forward", "backward", "backward_with_sums"):
        counting(name)
    return made


@pytest.fixture
def x():
    return torch.randn(2, 5, WIDTH)


def assert_same_bits(found, expected):
    for name, gradient in expected.items():
        assert (found[name] is None) == (gradient is None), name
        assert gradient is None or torch.equal(found[name], gradient), name


def as_before(model, x, memory, monkeypatch, **options):
    """The gradients of the two modules, one after the other, in the same memory mode."""
    with monkeypatch.context() as context:
        without_capability(context)
        with patch_model(model, "gelu_fused", memory=memory):
            return gradients(model, x, **options)


def without_capability(monkeypatch):
    """Kernels as they are without the one launch."""
    from gelu_patch.blocks import guards

    monkeypatch.setattr(guards, "may_take_down", lambda *_: False)


@mlps
@pytest.mark.parametrize(
    ("memory", "made"),
    {
        "speed": ["forward", "backward_with_sums"],
        "balanced": ["forward", "backward_with_sums again"],
        "max": ["forward", "backward_with_sums again"],
    }.items(),
)
def test_one_launch_in_backward(build, memory, made, x, launches):
    model = build()
    if build is WithoutBias and memory == "speed":
        made = ["forward", "backward"]
    patch_model(model, "gelu_fused", memory=memory)
    gradients(model, x)
    assert launches == made


@mlps
@pytest.mark.parametrize("autocast", [False, True], ids=["", "autocast"])
@pytest.mark.parametrize("shape", [(7, WIDTH), (2, 5, WIDTH), (2, 1, 3, WIDTH), (0, WIDTH)], ids=str)
@pytest.mark.parametrize("memory", MODES)
def test_gradients_have_the_bits_they_had(build, autocast, shape, memory, monkeypatch):
    model, x = build(), torch.randn(shape)
    expected = as_before(model, x, memory, monkeypatch, autocast=autocast)
    patch_model(model, "gelu_fused", memory=memory)
    assert_same_bits(gradients(model, x, autocast=autocast), expected)


FROZEN = {
    "up": ["up.weight", "up.bias"], "up's bias": ["up.bias"], "down's bias": ["down.bias"],
    "down": ["down.weight", "down.bias"], "down's weight": ["down.weight"], "all but up's bias":
    ["up.weight", "down.weight", "down.bias"], "all but down": ["up.weight", "up.bias"],
}  # fmt: skip


@pytest.mark.parametrize("frozen", FROZEN)
@pytest.mark.parametrize("of_x", [False, True], ids=["", "x"])
@modes
def test_frozen_weights(frozen, of_x, memory, x, monkeypatch):
    model = InSteps()
    for name in FROZEN[frozen]:
        model.get_parameter(name).requires_grad_(False)
    expected = as_before(model, x, memory, monkeypatch, of_x=of_x)
    patch_model(model, "gelu_fused", memory=memory)
    assert_same_bits(gradients(model, x, of_x=of_x), expected)


def test_a_frozen_down_projection_needs_no_activation_and_gets_none(x, launches):
    model = InSteps()
    model.down.requires_grad_(False)
    patch_model(model, "gelu_fused")
    gradients(model, x)
    assert launches == ["forward", "backward_with_sums"]


@mlps
def test_what_is_kept_is_what_was_kept(build, x, monkeypatch):
    kept = {}
    for taken in (False, True):
        with monkeypatch.context() as context:
            if not taken:
                without_capability(context)
            for memory in MODES:
                model = Stack(build(), build())
                patch_model(model, "gelu_fused", memory=memory)
                saved = measure_saved(model, {"x": x}, (2, 5))
                kept[taken, memory] = saved.saved_for_backward_bytes, saved.activation_saved_tensors
    for memory in MODES:
        assert kept[True, memory] == kept[False, memory]


@modes
def test_layers_that_share_a_weight_share_its_cast(memory, x, monkeypatch):
    """As under autocast: kept once, and the gradients of both layers add up before they are float32."""
    mlp = InSteps()
    model = Stack(mlp, mlp, mlp)
    expected = as_before(model, x, memory, monkeypatch, autocast=True)
    patch_model(model, "gelu_fused", memory=memory)
    if memory == "max":  # the Linear before the activation was under a checkpoint, with a cast for each layer
        expected = {name: gradient for name, gradient in expected.items() if ".down." in name}
    assert_same_bits(gradients(model, x, autocast=True), expected)
    casts = []
    original = torch.Tensor.to
    with monkeypatch.context() as context, torch.autocast("cpu", torch.bfloat16):
        context.setattr(torch.Tensor, "to", lambda tensor, *args: casts.append(tensor) or original(tensor, *args))
        model(x)
    for parameter in (mlp.down.weight, mlp.down.bias):
        assert sum(cast is parameter for cast in casts) == 1


@pytest.mark.parametrize("build", [tiny_gpt2], ids=["GPT-2"])
@modes
def test_a_model_of_transformers(build, memory, monkeypatch, launches):
    model = build()

    def step():
        model(**tokens(), labels=tokens()["input_ids"]).loss.backward()
        found = {name: parameter.grad for name, parameter in model.named_parameters()}
        model.zero_grad(set_to_none=True)
        return found

    with monkeypatch.context() as context:
        without_capability(context)
        with patch_model(model, "gelu_fused", memory=memory):
            expected = step()
    launches.clear()
    patch_model(model, "gelu_fused", memory=memory)
    assert_same_bits(step(), expected)
    assert launches == 2 * ["forward"] + 2 * ["backward_with_sums again"]


def test_bert_has_its_down_projection_elsewhere(launches):
    model = tiny_bert(layers=1)
    patch_model(model, "gelu_fused")
    model(**tokens()).logits.sum().backward()
    assert "backward_with_sums again" not in launches


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


def test_inference_is_as_it_was(x, launches):
    model = InSteps().eval()
    expected = model(x)
    patch_model(model, "gelu_fused")
    with torch.no_grad():
        assert torch.allclose(model(x), expected, atol=1e-5)
    assert launches == ["forward"]


def test_copies_and_files_do_the_same_and_undoing_leaves_nothing(x, launches):
    model = Stack(InSteps(), Mlp(nn.GELU()))
    state = [(type(layer), list(vars(layer))) for layer in model.layers]
    patch = patch_model(model, "gelu_fused")
    expected = gradients(model, x)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for twin in (copy.deepcopy(model), torch.load(file, weights_only=False)):
        launches.clear()
        assert_same_bits(gradients(twin, x), expected)
        assert launches.count("backward_with_sums again") == 2
    patch.revert()
    assert [(type(layer), list(vars(layer))) for layer in model.layers] == state
    launches.clear()
    gradients(model, x)
    assert not launches
    patch_model(model, "gelu_fused")
    assert_same_bits(gradients(model, x), expected)


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
