"""What changes on a CUDA device; skipped where there is none."""

from __future__ import annotations

import copy

import pytest
import torch

from gelu_patch.activations import activations
from gelu_patch.checking import check_kernel
from gelu_patch.kernels import Accepted, Request, kernels
from gelu_patch.patching import patch_model
from gelu_patch.runs.evaluate import EvaluationJob, evaluate_run
from gelu_patch.runs.train import TrainingJob, train_run
from gelu_patch.timing import arms_of, benchmark, measure_saved
from gelu_patch.training.recipe import Recipe
from tests.tasks.tiny import save_tiny_bert, tiny_examples
from tests.zoo import ZOO, example_input, tiny_gpt2, tokens

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
