"""A training run says what one of its steps keeps for backward, the same batch in every arm."""

from __future__ import annotations

import contextlib

import pytest
import torch
from transformers import AutoModelForCausalLM

from gelu_patch.patching import patch_model
from gelu_patch.reporting.outcome import compare
from gelu_patch.reporting.schema import Memory
from gelu_patch.runs import train as module
from gelu_patch.runs.train import TrainingJob, train_run
from gelu_patch.runs.training_memory import step_memory
from gelu_patch.tasks.base import tasks
from gelu_patch.training.recipe import Recipe
from gelu_patch.training.settings import Checkpointing, Lora
from tests.tasks.tiny import save_tiny_gpt2, tiny_documents

BATCH, BLOCK, HIDDEN, LAYERS, F32 = 4, 16, 32, 2, 4
INTERMEDIATE = BATCH * BLOCK * 4 * HIDDEN * F32


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return str(save_tiny_gpt2(tmp_path_factory.mktemp("gpt2")))


def job(checkpoint, activation="stock", **changes):
    fields = {
        "model_name_or_path": checkpoint,
        "task": "causal-lm",
        "train": tiny_documents(40),
        "validation": tiny_documents(40),
        "recipe": Recipe(max_train_steps=4, per_device_train_batch_size=BATCH),
        "activation": activation,
        "max_length": BLOCK,
        "validate_each_epoch": False,
    }
    return TrainingJob(**{**fields, **changes})


def counted(run) -> Memory:
    (entry,) = run.report.memory
    assert (entry.phase, entry.shape) == ("train", (BATCH, BLOCK))
    return entry


def test_stock_against_patched_in_the_report(checkpoint, tmp_path):
    stock, fused = (train_run(job(checkpoint, name), tmp_path / name) for name in ("stock", "gelu_fused"))
    before, after = counted(stock), counted(fused)
    # GPT-2's formula keeps four tensors, and the next product its result; patched, its input is kept alone.
    assert before.saved_for_backward_bytes - after.saved_for_backward_bytes == LAYERS * 4 * INTERMEDIATE
    assert (before.activation_saved_tensors, after.activation_saved_tensors) == (4, 1)
    assert before.weights_bytes == after.weights_bytes > 0
    (shown,) = compare(stock, fused).comparison.memory
    assert (shown.phase, shown.state, shown.candidate) == ("train", "SMALLER", after.saved_for_backward_bytes)


def test_a_run_that_went_on_counts_the_same_batch(checkpoint, tmp_path):
    every_step = Checkpointing(checkpointing_steps="1")
    whole = train_run(job(checkpoint), tmp_path / "whole", checkpointing=every_step)
    (tmp_path / "whole" / "report.json").rename(tmp_path / "first.json")
    again = train_run(job(checkpoint), tmp_path / "whole", checkpointing=every_step)
    assert counted(again) == counted(whole)


def test_adapters_keep_less_than_all_weights(checkpoint, tmp_path):
    whole = train_run(job(checkpoint, "gelu_fused"), tmp_path / "whole")
    lora = train_run(job(checkpoint, "gelu_fused", lora=Lora(lora_r=2)), tmp_path / "lora")
    assert 0 < counted(lora).saved_for_backward_bytes < counted(whole).saved_for_backward_bytes


def test_it_changes_neither_weights_nor_mode_nor_chance(checkpoint):
    model = AutoModelForCausalLM.from_pretrained(checkpoint).eval()
    patch_model(model, "gelu_fused")
    task, loaded = tasks.get("causal-lm"), tasks.get("causal-lm").load(checkpoint)
    data = task.encode_for_training(tiny_documents(40), tokenizer=loaded.tokenizer, max_length=BLOCK)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    step_memory(model, data, Recipe(), task.loss, autocast=contextlib.nullcontext)
    assert torch.rand(1) == expected
    assert not any(module.training for module in model.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_model_that_forbids_it_keeps_its_training(checkpoint, tmp_path, monkeypatch):
    def forbidden(*arguments, **options):
        with torch.autograd.graph.disable_saved_tensors_hooks("not here"):
            return step_memory(*arguments, **options)

    monkeypatch.setattr(module, "step_memory", forbidden)
    report = train_run(job(checkpoint), tmp_path).report
    assert report.memory == []
    assert [line for line in report.warnings if "not counted: not here" in line]
