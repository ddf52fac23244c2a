"""The callback in a real Trainer, for three steps."""

from __future__ import annotations

import math

import pytest
import torch

from gelu_patch import patch_model
from gelu_patch.errors import UsageError
from gelu_patch.integrations.trainer import StabilityCallback
from gelu_patch.training.log import read_log

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")


class Rows(torch.utils.data.Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, i):
        return {"input_ids": torch.tensor([i, 1, 2, 3]), "labels": torch.tensor(i % 2)}


def tiny_model():
    config = transformers.BertConfig(
        vocab_size=20, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    return transformers.BertForSequenceClassification(config)


def trainer(model, tmp_path, callback, **changes):
    settings = {"per_device_train_batch_size": 2, "max_steps": 3, "report_to": [], "save_strategy": "no"}
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path), use_cpu=True, disable_tqdm=True, **{"logging_steps": 1, **settings, **changes}
    )
    return transformers.Trainer(model=model, args=arguments, train_dataset=Rows(), callbacks=[callback])


def test_it_writes_the_evidence_of_every_step(tmp_path):
    model = tiny_model()
    patch_model(model, "relu")
    callback = StabilityCallback(tmp_path / "log.jsonl", activation_steps=2)
    trainer(model, tmp_path, callback).train()
    lines = read_log(tmp_path / "log.jsonl")
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert all(math.isfinite(line["loss"]) and line["grad_norm"] > 0 for line in lines)
    assert list(lines[0]["grad_norms"]) == ["embeddings", "bert.encoder.layer.0", "bert.encoder.layer.1", "head"]
    assert ["activations" in line for line in lines] == [True, False, True]
    sites = lines[0]["activations"]
    assert len(sites) == 2
    assert all(0.3 < found["near_zero"] < 0.7 for found in sites.values())  # a ReLU
    summary = callback.summary
    assert (summary.steps, summary.nan_steps) == (3, 0)
    assert len(summary.grad_norms) == 4
    assert [site.steps for site in summary.activations] == [2, 2]
    assert not any(module._forward_hooks for module in model.modules() if type(module).__name__ == "KernelActivation")


def test_a_loss_that_is_logged_seldom_belongs_to_all_its_steps(tmp_path):
    callback = StabilityCallback(patched=False)
    trainer(tiny_model(), tmp_path, callback, logging_steps=3).train()
    assert len(callback.records) == 3
    assert len({record.loss for record in callback.records}) == 1


@pytest.mark.parametrize("patched", [True, False])
def test_it_refuses_to_start_on_another_model_than_it_was_asked_for(tmp_path, patched):
    model = tiny_model()
    if not patched:
        patch_model(model, "gelu_fused")
    with pytest.raises(UsageError, match="is not patched" if patched else "is patched"):
        trainer(model, tmp_path, StabilityCallback(patched=patched)).train()
