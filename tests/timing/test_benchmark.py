"""The verb on tiny models; what the times are is not this test's business."""

from __future__ import annotations

import json
import time

import pytest
import torch
from torch import nn

import gelu_patch as gp
from gelu_patch.errors import EnvironmentProblem, Interrupted, NothingToPatch, UnknownName, UnsupportedModel, UsageError
from gelu_patch.reporting.storage.run_folder import RunFolder
from gelu_patch.reporting.storage.timings import CONTROL, LIMIT, TIMINGS, Cell, read_timings
from tests.zoo import Mlp, logits, tiny_bert, tiny_gpt2

QUICK = {"n_pairs": 10, "max_pairs": 10, "processes": 1, "max_seconds": 5.0}


def test_every_arm_shape_and_phase_is_measured():
    model = tiny_gpt2()
    before = logits(model)
    phases = ["forward", "forward_backward", "generate"]
    found = gp.benchmark(model, ["gelu_fused", "relu"], shapes=[(1, 4), (2, 8)], phases=phases, new_tokens=3, **QUICK)
    assert found.arms == ["stock", "gelu_fused", "relu"]
    expected = sorted(((1, 4), phase) for phase in phases) + sorted(((2, 8), phase) for phase in phases)
    for arm in found.arms:
        assert [(entry.shape, entry.phase) for entry in found.latency[arm]] == expected
        assert found.latency[arm][0].n_processes == 1
    generated = found.latency["relu"][-1]
    assert generated.phase == "generate"
    assert generated.tokens_per_s == pytest.approx(3 * 2 / generated.p50)
    assert generated.examples_per_s == pytest.approx(2 / generated.p50)
    assert torch.equal(logits(model), before)
    assert not model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_worth_it_comes_first():
    found = gp.benchmark(tiny_gpt2(), ["gelu_fused"], shapes=[(2, 8)], phases=["forward_backward"], **QUICK)
    share = found.activation_share[0]
    assert share.n_sites == 2
    stock = found.memory["stock"][0]
    assert share.saved_share == pytest.approx(stock.activation_saved_bytes / stock.saved_for_backward_bytes)
    # gelu_new keeps four tensors, and removing it leaves what the next layer keeps: its input.
    element = 2 * 8 * 4 * 32 * 4
    assert share.saved_limit_share == pytest.approx(2 * 4 * element / stock.saved_for_backward_bytes)
    lines = str(found).splitlines()
    assert lines[2] == "Worth it?"
    assert "2 GELU take" in lines[3]


def test_fresh_processes_measure_a_live_model(tmp_path):
    """Two timing processes, and one of its own for the memory of each arm."""
    found = gp.benchmark(tiny_bert(), ["relu"], shapes=[(1, 8)], **QUICK | {"processes": 2, "max_seconds": 0.01})
    assert not found.warnings
    entry = found.latency["relu"][0]
    assert entry.n_processes == 2
    stock, relu = (found.memory[arm] for arm in ("stock", "relu"))
    assert [entry.phase for entry in stock] == ["forward", "forward_backward"]
    assert stock[0].host_peak_rss_bytes > stock[0].host_start_rss_bytes > 50 * 2**20
    assert stock[0].other_bytes is not None
    assert relu[0].weights_bytes == stock[0].weights_bytes > 0
    assert found.energy["stock"].joule_per_1k_samples is None or found.energy["stock"].joule_per_1k_samples > 0
    folder = found.save(tmp_path / "run")
    report = RunFolder.open(folder.path).report
    assert report.kind == "bench"
    assert [arm.name for arm in report.arms] == ["stock", "relu"]
    assert report.arms[1].latency[0].ratio == pytest.approx(entry.ratio)
    raw = read_timings(folder.path / TIMINGS)[Cell((1, 8), "forward")]
    assert set(raw[0]) == {"stock", "relu", CONTROL, LIMIT}
    assert sum(len(samples["relu"]) for samples in raw) == entry.n_pairs
    assert (folder.path / "report.md").read_text().startswith("# ")


class SlowGelu(nn.Module):
    """GELU after a wait of 3 ms, of which a forward without it takes far less."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        end = time.perf_counter() + 0.003
        while time.perf_counter() < end:
            pass
        return 0.5 * x * (1 + torch.erf(x / 2**0.5))


def small(shape: tuple[int, int]) -> dict[str, torch.Tensor]:
    return {"x": torch.randn(*shape, 8)}


def test_a_real_delay_is_found_and_so_is_what_the_activation_takes():
    """The waiting is in stock's GELU: the swap is faster, and the limit says that nearly all time was GELU's."""
    found = gp.benchmark(Mlp(SlowGelu()), ["relu"], shapes=[(4, 8)], inputs=small, **QUICK | {"n_pairs": 30})
    entry = found.latency["relu"][0]
    assert entry.ratio < 0.5
    assert entry.state in ("FASTER", "INVALID")
    assert found.activation_share[0].time_share > 0.5


def test_a_real_delay_that_a_swap_brings_is_called_slower(monkeypatch):
    """Here it is the target that waits."""
    from gelu_patch.timing import arms

    real = arms.patch_model

    def with_a_wait(model: nn.Module, target: str, **options: object) -> object:
        patch = real(model, target, **options)
        model.register_forward_hook(lambda module, args, output: output + SlowGelu()(torch.zeros(1)))
        return patch

    monkeypatch.setattr(arms, "patch_model", with_a_wait)
    found = gp.benchmark(
        Mlp(nn.GELU()), ["relu"], shapes=[(4, 8)], inputs=small, **QUICK | {"margin": 0.9, "n_pairs": 30}
    )
    assert found.latency["relu"][0].state == "SLOWER"


def test_a_model_that_cannot_leave_this_process_is_measured_here_and_that_is_said():
    model = tiny_bert()
    model.unpicklable = lambda: None
    found = gp.benchmark(model, ["relu"], shapes=[(1, 8)], **QUICK | {"processes": 3})
    assert found.latency["relu"][0].n_processes == 1
    assert "measured in one process" in found.warnings[0]
    assert found.memory["stock"][0].host_peak_rss_bytes is None


def test_inputs_of_your_own():
    found = gp.benchmark(Mlp(nn.GELU()), shapes=[(2, 3)], inputs=lambda shape: {"x": torch.randn(*shape, 8)}, **QUICK)
    assert found.latency["gelu_fused"][0].n_pairs == 10


def test_bad_calls():
    with pytest.raises(UsageError, match="at least one shape"):
        gp.benchmark(tiny_gpt2(), shapes=[])
    with pytest.raises(UnknownName, match="gelu_fussed"):
        gp.benchmark(tiny_gpt2(), ["gelu_fussed"])
    with pytest.raises(UsageError, match="processes 0"):
        gp.benchmark(tiny_gpt2(), processes=0)
    with pytest.raises(UsageError, match="pairs 1 "):
        gp.benchmark(tiny_gpt2(), n_pairs=1)
    with pytest.raises(UnsupportedModel, match="no vocabulary"):
        gp.benchmark(Mlp(nn.GELU()), shapes=[(1, 4)])
    with pytest.raises(NothingToPatch, match="no GELU"):
        gp.benchmark(Mlp(nn.ReLU()))
    with pytest.raises(UnknownName, match="int7"):
        gp.benchmark(tiny_gpt2(), dtype="int7")
    with pytest.raises(UnsupportedModel, match="does not run at the shape"):
        gp.benchmark(Mlp(nn.GELU()), shapes=[(2, 3)], inputs=lambda shape: {"y": torch.ones(2)}, **QUICK)


class Greedy(nn.Module):
    """Needs more memory than there is, on more than one example."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > 1:
            torch.empty(2**46)
        return torch.nn.functional.gelu(x)


def test_out_of_memory_names_the_shape():
    model = nn.Sequential(nn.Linear(8, 8), nn.GELU(), Greedy())
    with pytest.raises(EnvironmentProblem) as error:
        gp.benchmark(model, shapes=[(4, 8)], inputs=lambda shape: {"input": torch.randn(shape)}, **QUICK)
    assert "out of memory at the shape 4x8" in str(error.value)
    assert "--shapes 2x8" in str(error.value)


def test_control_c_keeps_what_was_measured(tmp_path):
    calls = []

    def stop(what: str, done: int, planned: int) -> None:
        calls.append(what)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as error:
        gp.benchmark(tiny_bert(), ["relu"], shapes=[(1, 8), (2, 8)], on_progress=stop, **QUICK | {"n_pairs": 40})
    partial = error.value.partial
    assert partial.interrupted
    report = partial.save(tmp_path / "run").report
    assert report.latency[0].n_pairs >= 10
    assert "stopped early" in report.warnings[0]
    json.loads((tmp_path / "run" / "report.json").read_text())
