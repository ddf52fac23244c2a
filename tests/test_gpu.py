"""What changes on a CUDA device; skipped where there is none."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from gelu_patch.activations import activations
from gelu_patch.blocks import down, inference
from gelu_patch.checking import check_kernel
from gelu_patch.kernels import Accepted, Request, cublaslt, kernels
from gelu_patch.kernels.plain import plain_keys
from gelu_patch.kernels.triton import devices
from gelu_patch.kernels.triton.kernel import elementwise
from gelu_patch.patching import patch_model
from gelu_patch.runs.evaluate import EvaluationJob, evaluate_run
from gelu_patch.runs.train import TrainingJob, train_run
from gelu_patch.timing import arms_of, benchmark, measure_saved
from gelu_patch.training.recipe import Recipe
from tests.tasks.tiny import save_tiny_bert, tiny_examples
from tests.zoo import ZOO, GatedMlp, Mlp, example_input, tiny_bert, tiny_gpt2, tokens
from tests.zoo_inline import WIDTH

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def on_gpu(model, dtype=torch.float32):
    return copy.deepcopy(model).to("cuda", dtype).eval()


def gpu_tokens():
    return {name: tensor.cuda() for name, tensor in tokens().items()}


SERVED = [
    (kernel.name, activation, dtype)
    for kernel in kernels
    for activation in activations.names()
    for dtype in DTYPES
    if isinstance(kernel.answer(Request(activation, "cuda", dtype)), Accepted)
]


@pytest.mark.parametrize(("kernel", "activation", "dtype"), SERVED)
def test_values_are_within_the_declared_bound(kernel, activation, dtype):
    check = check_kernel(activation, kernel, dtype, "forward", device="cuda")
    assert check.kept, check.broken


@pytest.mark.parametrize(("kernel", "activation", "dtype"), SERVED)
def test_gradients_are_within_the_declared_bound(kernel, activation, dtype):
    check = check_kernel(activation, kernel, dtype, "backward", device="cuda")
    assert check.kept, check.broken


needs_triton = pytest.mark.skipif(
    torch.cuda.is_available() and devices.why_not() is not None, reason="the Triton kernels do not serve this GPU"
)


def test_plain_tensors_have_the_keys_that_are_served():
    keys = torch._C._dispatch_keys
    with torch.inference_mode():
        inference_tensor = torch.empty(2, device="cuda")
    found = {keys(each).raw_repr() for each in (torch.empty(2, device="cuda"), inference_tensor)}
    assert found == plain_keys("cuda")


@needs_triton
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 1023, 1024, 1025, 70_001])
def test_misaligned_and_strided_tensors(dtype, n):
    kernel = elementwise("gelu")
    storage = torch.randn(2 * n + 8, device="cuda").to(dtype)
    for x in (storage[:n], storage[1 : n + 1], storage[: 2 * n : 2]):
        assert torch.equal(kernel(x), kernel(x.clone()))


@needs_triton
def test_float64_and_other_devices_go_elsewhere():
    kernel = elementwise("gelu_tanh")
    x = torch.randn(5, device="cuda", dtype=torch.float64)
    assert torch.equal(kernel(x), kernel.fallback(x))
    y = torch.randn(5)
    assert torch.allclose(kernel(y), kernel.fallback(y), atol=1e-6)


@needs_triton
def test_mixed_devices_are_pytorch_s_error():
    model = Mlp(nn.GELU()).cuda()
    patch_model(model, "gelu_fused")
    with pytest.raises(RuntimeError, match="device"), torch.no_grad():
        model(torch.randn(2, WIDTH))


def test_the_epilogue_passes_its_self_check_or_is_not_used():
    for dtype in cublaslt.DTYPES:
        reason = cublaslt.why_not("gelu_tanh", torch.device("cuda", 0), dtype)
        assert reason == "" or torch.cuda.get_device_capability() not in cublaslt.ARCHITECTURES, reason


@needs_triton
@pytest.mark.parametrize("memory", ["speed", "balanced", "max"])
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("approximate", ["none", "tanh"])
@pytest.mark.parametrize("kind", [Mlp, GatedMlp])
def test_blocks_train_as_the_modules_do(memory, autocast, approximate, kind):
    model = kind(nn.GELU(approximate)).cuda()
    reference = copy.deepcopy(model).double()
    patch_model(model, "gelu_fused", memory=memory)
    x = torch.randn(33, WIDTH, device="cuda")
    with torch.autocast("cuda", torch.bfloat16, enabled=autocast):
        out = model(x)
    out.float().square().sum().backward()
    reference(x.double()).square().sum().backward()
    for name, parameter in model.named_parameters():
        expected = reference.get_parameter(name).grad
        scale = float(expected.abs().max())
        assert float((parameter.grad.double() - expected).abs().max()) <= (3e-2 if autocast else 1e-4) * scale, name


@needs_triton
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh", "gelu_quick"])
@pytest.mark.parametrize("shape", [(64, 256), (65, 257)], ids=["even", "ragged"])
def test_one_launch_gives_the_bits_of_three(dtype, activation, shape):
    kernel = elementwise(activation)
    x, grad = 3 * torch.randn(2, *shape, device="cuda").to(dtype)
    out, again, alone = (torch.empty_like(x) for _ in range(3))
    sums = kernel.slope_again_with_sums(out, again, x, grad)
    assert torch.equal(sums, kernel.slope_with_sums(alone, x, grad))
    assert torch.equal(out, alone)
    assert torch.equal(out, kernel.backward(grad, x))
    assert torch.equal(again, kernel.forward(x))


@needs_triton
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gradients_have_the_same_bits_in_every_memory_mode(autocast, approximate, monkeypatch):
    """With the down projection in the block and without; products of one shape are PyTorch's in all of them."""
    model, x = Mlp(nn.GELU(approximate)).cuda(), torch.randn(33, WIDTH, device="cuda")
    taken, original = [], down.Postponed.through
    monkeypatch.setattr(down.Postponed, "through", lambda self, linear: taken.append(1) or original(self, linear))
    found = {}
    for memory in ("speed", "balanced", "max"):
        with patch_model(model, "gelu_fused", memory=memory):
            with torch.autocast("cuda", torch.bfloat16, enabled=autocast):
                out = model(x)
            out.float().square().sum().backward()
        found[memory] = [parameter.grad for parameter in model.parameters()]
        model.zero_grad(set_to_none=True)
    assert len(taken) == 2
    for memory in ("balanced", "max"):
        assert all(torch.equal(*both) for both in zip(found["speed"], found[memory], strict=True)), memory


@needs_triton
def test_a_cuda_graph_of_inference_replays():
    model = Mlp(nn.GELU("tanh")).cuda().bfloat16().eval()
    patch_model(model, "gelu_fused")
    x = torch.randn(16, WIDTH, device="cuda").bfloat16()
    with torch.inference_mode():
        expected = model(x)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            model(x)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            out = model(x)
        x.copy_(x.flip(0))
        graph.replay()
    assert torch.allclose(out, expected.flip(0), atol=1e-2)


@needs_triton
@pytest.mark.filterwarnings("default")  # Inductor has advice of its own
@pytest.mark.parametrize("train", [False, True])
def test_compiled(train):
    model = Mlp(nn.GELU("tanh")).cuda().bfloat16().train(train)
    patch_model(model, "gelu_fused")
    x = torch.randn(16, WIDTH, device="cuda").bfloat16()
    compiled = torch.compile(model, fullgraph=True)
    with torch.set_grad_enabled(train):
        assert torch.allclose(compiled(x), model(x), atol=2e-2)


@needs_triton
def test_a_model_patched_on_the_cpu_and_moved_runs_the_gpu_s_kernels(monkeypatch):
    model, calls = tiny_bert(), []
    patch_model(model, "gelu_fused")
    model.cuda()
    original = inference.compute
    monkeypatch.setattr(inference, "compute", lambda product, kernel: calls.append(kernel) or original(product, kernel))
    with torch.no_grad():
        model(**gpu_tokens())
    assert calls
    assert {kernel.device for kernel in calls} == {"cuda"}


@needs_triton
def test_a_default_device_is_no_reason(monkeypatch):
    with torch.device("cuda"):
        model, calls = Mlp(nn.GELU()), []
        patch_model(model, "gelu_fused")
        original = inference.compute
        monkeypatch.setattr(inference, "compute", lambda *both: calls.append(both) or original(*both))
        with torch.no_grad():
            model(torch.randn(3, WIDTH))
    assert calls


@needs_triton
def test_the_second_of_two_gpus():
    if torch.cuda.device_count() < 2:
        pytest.skip("one GPU")
    x = torch.randn(100, device="cuda:1")
    assert torch.allclose(elementwise("gelu")(x), nn.functional.gelu(x), atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_same_mathematics_is_not_farther_from_the_truth_than_stock(dtype):
    """Both arms against float64: the swap may round differently, not worse than twice as much."""
    model = tiny_gpt2()
    with torch.no_grad():
        truth = copy.deepcopy(model).double()(**tokens())[0]
        gpu = on_gpu(model, dtype)
        stock = (gpu(**gpu_tokens())[0].double().cpu() - truth).abs().max()
        with patch_model(gpu, "gelu_fused"):
            fused = (gpu(**gpu_tokens())[0].double().cpu() - truth).abs().max()
    assert fused <= 2 * stock + 1e-6


def test_gpt2_under_autocast_keeps_one_half_precision_tensor():
    """Stock runs `pow` in float32 under CUDA autocast, so its four tensors are wider, too."""
    model = tiny_gpt2().cuda()
    kept = {}
    for name, arm in arms_of(model, ["gelu_fused"]).items():
        with torch.autocast("cuda", torch.bfloat16):
            kept[name] = measure_saved(arm, gpu_tokens(), (2, 8))
    element = 2 * 8 * 4 * 32
    assert kept["gelu_fused"].activation_saved_tensors == 1
    assert kept["gelu_fused"].activation_saved_bytes == 2 * 2 * element
    assert kept["stock"].activation_saved_bytes >= 4 * kept["gelu_fused"].activation_saved_bytes


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_training_and_evaluation(tmp_path, precision):
    checkpoint = save_tiny_bert(tmp_path / "checkpoint")
    losses = {}
    for activation in ("stock", "gelu_fused"):
        job = TrainingJob(
            model_name_or_path=str(checkpoint),
            train=tiny_examples(),
            validation=tiny_examples(),
            recipe=Recipe(num_train_epochs=8, learning_rate=2e-3, **{precision: True}),
            activation=activation,
        )
        run = train_run(job, tmp_path / activation)
        (summary,) = run.report.training.per_seed
        assert not summary.diverged
        losses[activation] = [point.loss for point in summary.curve if point.loss is not None]
        assert losses[activation][-1] < losses[activation][0]
    # Losses are sums of 16-bit activations; the coarser of the two types, bfloat16, has steps of 0.8 %.
    assert losses["stock"][:4] == pytest.approx(losses["gelu_fused"][:4], rel=2e-2)
    swapped = EvaluationJob(source=str(tmp_path / "stock"), data=tiny_examples(), activation="relu")
    assert evaluate_run(swapped, tmp_path / "swap").report.data.n == 24


def test_benchmark():
    phases = ["forward", "forward_backward"]
    found = benchmark(tiny_gpt2().cuda(), shapes=[(2, 16)], phases=phases, n_pairs=10, max_pairs=10, processes=1)
    assert [entry.n_pairs for entry in found.latency["gelu_fused"]] == [10, 10]


@pytest.mark.filterwarnings("default")  # Inductor has advice of its own
@pytest.mark.parametrize("name", [name for name in ZOO if name.startswith("inline")])
@pytest.mark.parametrize("target", ["gelu_fused", "relu"])
def test_gelu_in_code_is_swapped_and_put_back(name, target):
    model, x = on_gpu(ZOO[name].build()), example_input().cuda()
    stock = model(x)
    patch = patch_model(model, target, example_inputs=x)
    patched = model(x)
    assert torch.allclose(patched, stock, atol=1e-5) == (target == "gelu_fused")
    assert torch.allclose(torch.compile(model, fullgraph=True)(x), patched, atol=1e-5)
    patch.revert()
    assert torch.equal(model(x), stock)
