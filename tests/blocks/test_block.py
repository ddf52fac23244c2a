"""A block computes what its two modules do, together when nobody can tell and one after the other otherwise."""

import copy
import io
import threading

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from gelu_patch.blocks import Block
from gelu_patch.patching import patch_model, unpatch_model
from gelu_patch.timing.memory import measure_saved
from tests.blocks.lookup import block_of
from tests.zoo import Mlp, Stack, logits, tiny_bert, tiny_gpt2, tokens
from tests.zoo_inline import WIDTH


@pytest.fixture
def model():
    return Stack(Mlp(nn.GELU()), Mlp(nn.GELU("tanh"))).eval()


@pytest.fixture
def x():
    return torch.randn(5, WIDTH)


@pytest.fixture
def overwritten(monkeypatch):
    """The calls of the kernel that were made in place: none when the modules run one after the other."""
    from gelu_patch.kernels.autograd import Elementwise

    calls = []
    original = Elementwise.overwrite

    def overwrite(self, dense):
        calls.append(dense)
        original(self, dense)

    monkeypatch.setattr(Elementwise, "overwrite", overwrite)
    return calls


def close(found, expected, tolerance=1e-6):
    return torch.allclose(found, expected, rtol=0, atol=tolerance)


def test_computes_the_same_in_place_and_goes_with_the_patch(model, x, overwritten):
    with torch.no_grad():
        expected = model(x)
        state = [(type(layer), list(vars(layer))) for layer in model.layers]
        patch = patch_model(model, "gelu_fused")
        assert [change.fused_with for change in patch.replaced] == [("layers.0.up",), ("layers.1.up",)]
        assert "cpu + up" in str(patch)
        assert close(model(x), expected)
        assert len(overwritten) == 2
        assert list(model.state_dict()) == list(copy.deepcopy(model).state_dict())
        patch.revert()
        assert [(type(layer), list(vars(layer))) for layer in model.layers] == state
        assert torch.equal(model(x), expected)


@pytest.mark.parametrize("build", [tiny_bert, tiny_gpt2])
def test_transformers_models(build, overwritten):
    model = build()
    expected = logits(model)
    patch_model(model, "gelu_fused")
    assert close(logits(model), expected, 1e-5)
    assert overwritten
    assert unpatch_model(model)
    assert torch.equal(logits(model), expected)


def test_a_later_patch_uses_the_block_and_the_last_one_takes_it_away(model, x, overwritten):
    plain = copy.deepcopy(model)
    with torch.no_grad():
        first = patch_model(model, "gelu_fused")
        second = patch_model(model, "silu")
        patch_model(plain, "silu")
        for layer in plain.layers:
            layer.up.register_forward_hook(lambda *_: None)
        assert close(model(x), plain(x))
        assert len(overwritten) == 2
        third = patch_model(model, "relu")  # no kernel works in place
        assert not any(isinstance(value, Block) for layer in model.layers for value in vars(layer).values())
        third.revert()
        block_of(model.layers[0])
        second.revert()
        first.revert()
        assert all(type(layer) is Mlp for layer in model.layers)


def forward_hook(mlp):
    mlp.up.register_forward_hook(lambda module, args, output: output * 2)


def forward_pre_hook_on_the_activation(mlp):
    mlp.act.register_forward_pre_hook(lambda module, args: (args[0] + 1,))


def own_forward(mlp):
    mlp.up.forward = lambda x: x.new_ones(*x.shape[:-1], 16)


def adapter(mlp):
    class Lora(nn.Linear):
        def forward(self, x):
            return super().forward(x) + 1

    lora = Lora(WIDTH, 16)
    lora.load_state_dict(mlp.up.state_dict())
    mlp.up = lora


def parametrization(mlp):
    parametrizations.weight_norm(mlp.up)
    mlp.up.parametrizations.weight.original0.data *= 2


def other_dtype(mlp):
    mlp.double()


def another_activation(mlp):
    mlp._modules["act"] = nn.Sigmoid()


@pytest.mark.parametrize("undo", [lambda mlp, patch: patch.revert(), lambda mlp, patch: unpatch_model(mlp)])
def test_a_block_goes_also_when_an_adapter_has_taken_the_linear_s_place(undo):
    mlp = Mlp(nn.GELU())
    patch = patch_model(mlp, "gelu_fused")
    adapter(mlp)
    undo(mlp, patch)
    assert type(mlp) is Mlp
    assert not any(isinstance(value, Block) for value in vars(mlp).values())


CHANGES = [
    forward_hook, forward_pre_hook_on_the_activation, own_forward, adapter, parametrization, other_dtype,
    another_activation,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_is_put_on_the_modules_later_is_run(change, x, overwritten):
    mlp = Mlp(nn.GELU()).eval()
    reference = copy.deepcopy(mlp)
    patch_model(mlp, "gelu_fused")
    change(mlp)
    torch.manual_seed(0)
    change(reference)
    reference.up.load_state_dict(mlp.up.state_dict())
    if change is other_dtype:
        x = x.double()
    with torch.no_grad():
        assert close(mlp(x), reference(x))
    assert not overwritten


def in_autocast():
    return torch.autocast("cpu", torch.bfloat16)


def in_a_function_mode():
    class Mode(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            return function(*args, **(kwargs or {}))

    return Mode()


@pytest.mark.parametrize("surroundings", [in_autocast, in_a_function_mode])
def test_surroundings_that_must_see_each_operation(surroundings, x, overwritten):
    mlp = Mlp(nn.GELU()).eval()
    reference = copy.deepcopy(mlp)
    patch_model(mlp, "gelu_fused")
    with torch.no_grad(), surroundings():
        found, expected = mlp(x), reference(x)
    assert found.dtype == expected.dtype
    assert close(found.float(), expected.float(), 1e-2)
    assert not overwritten


def test_a_default_device_is_no_reason(x, overwritten):
    mlp = Mlp(nn.GELU()).eval()
    patch_model(mlp, "gelu_fused")
    with torch.no_grad(), torch.device("cpu"):
        mlp(x)
    assert overwritten


def test_meta_tensors(x, overwritten):
    mlp = Mlp(nn.GELU()).eval().to("meta")
    patch_model(mlp, "gelu_fused")
    with torch.no_grad():
        assert mlp(x.to("meta")).shape == x.shape
    assert not overwritten


def test_global_hooks_see_the_modules(x, overwritten):
    mlp = Mlp(nn.GELU()).eval()
    patch_model(mlp, "gelu_fused")
    seen = []
    handle = nn.modules.module.register_module_forward_hook(lambda module, args, output: seen.append(module))
    try:
        with torch.no_grad():
            mlp(x)
    finally:
        handle.remove()
    assert mlp.up in seen
    assert mlp.act in seen
    assert not overwritten


@pytest.mark.parametrize("memory", ["speed", "balanced", "max"])
def test_gradients_have_the_bits_of_the_two_modules(memory, x, overwritten):
    mlp = Mlp(nn.GELU("tanh"))
    reference = copy.deepcopy(mlp)
    patch_model(mlp, "gelu_fused", memory=memory)
    patch_model(reference, "gelu_fused", memory="speed")
    reference.up.register_forward_hook(lambda *_: None)  # never a block
    for each in (mlp, reference):
        each(x).square().sum().backward()
    for name, parameter in reference.named_parameters():
        assert torch.equal(mlp.get_parameter(name).grad, parameter.grad), name
    assert not overwritten


def test_max_keeps_the_input_of_a_block_and_nothing_else(x):
    kept = {}
    for memory in ("speed", "balanced", "max"):
        model = Stack(Mlp(nn.GELU()), Mlp(nn.GELU()))
        patch_model(model, "gelu_fused", memory=memory)
        kept[memory] = measure_saved(model, {"x": x}, tuple(x.shape)).saved_for_backward_bytes
    narrow, wide = x.nbytes, 16 * len(x) * 4
    assert kept == {"speed": 2 * (narrow + 2 * wide), "balanced": 2 * (narrow + wide), "max": 2 * narrow}


def test_frozen_weights_leave_the_input_to_be_differentiated(x):
    mlp = Mlp(nn.GELU()).requires_grad_(False)
    reference = copy.deepcopy(mlp)
    patch_model(mlp, "gelu_fused")
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    for each, tensor in zip((mlp, reference), inputs, strict=True):
        each(tensor).sum().backward()
    assert close(inputs[0].grad, inputs[1].grad)


@pytest.mark.parametrize("memory", ["max", "balanced"])
def test_second_derivatives(memory):
    mlp = Mlp(nn.GELU()).double()
    patch_model(mlp, "gelu_fused", memory=memory)
    inputs = torch.randn(2, WIDTH, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(mlp, (inputs,))


def test_copies_and_files_have_blocks_of_their_own(model, x):
    patch_model(model, "gelu_fused", memory="speed")
    file = io.BytesIO()
    with torch.no_grad():
        expected = model(x)
        torch.save(model, file)
        file.seek(0)
        for twin in (copy.deepcopy(model), torch.load(file, weights_only=False)):
            for layer in twin.layers:
                assert block_of(layer).parent is layer
                assert block_of(layer)._packed._kept is None
            twin.layers[0].up.weight.zero_()
            twin(x)
        assert torch.equal(model(x), expected)


def test_the_input_is_not_changed(model, x):
    patch_model(model, "gelu_fused")
    before = x.clone()
    with torch.inference_mode():
        model(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize("shape", [(0, WIDTH), (WIDTH,), (2, 0, WIDTH), (2, 3, WIDTH), (1, 1, 1, WIDTH)])
def test_shapes(shape, model):
    inputs = torch.randn(shape)
    with torch.no_grad():
        expected = model(inputs)
        patch_model(model, "gelu_fused")
        found = model(inputs)
    assert found.shape == expected.shape
    assert close(found, expected)


def test_inputs_of_any_stride(model):
    with torch.no_grad():
        inputs = torch.randn(WIDTH, 6).t()[::2]
        expected = model(inputs)
        patch_model(model, "gelu_fused")
        assert close(model(inputs), expected)


def test_threads_that_run_while_a_patch_comes_and_goes(model):
    inputs = torch.randn(64, WIDTH)
    with torch.no_grad():
        expected = model(inputs)
    wrong = []
    stop = threading.Event()

    def run():
        with torch.no_grad():
            while not stop.is_set():
                if not close(model(inputs), expected):
                    wrong.append(1)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        patch_model(model, "gelu_fused").revert()
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the compiler's own
def test_compiled_and_exported(x):
    mlp = Mlp(nn.GELU()).eval()
    with torch.no_grad():
        expected = mlp(x)
        patch_model(mlp, "gelu_fused")
        assert close(torch.compile(mlp, fullgraph=True)(x), expected)
        assert close(torch.export.export(mlp, (x,)).module()(x), expected)


def test_a_long_context_of_bert_keeps_its_tokens(overwritten):
    model = tiny_bert()
    patch_model(model, "gelu_fused")
    with torch.inference_mode():
        assert model(**tokens()).logits.isfinite().all()
    assert overwritten
