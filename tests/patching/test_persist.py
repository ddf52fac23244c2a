"""``save_patched``, and what a checkpoint says when it changes hands."""

import pytest
import torch
from torch import nn

from gelu_patch.errors import ModelNotFound, UnsupportedModel
from gelu_patch.patching import current_plan, load_patched, patch_model, save_patched, unpatch_model
from gelu_patch.patching.sidecar import SIDECAR
from tests.zoo import Mlp, logits, tiny_bert, tiny_gpt2


def test_the_same_mathematics_is_a_plain_checkpoint_with_a_sidecar(tmp_path):
    from transformers import BertForMaskedLM

    model = tiny_bert()
    patch_model(model, "gelu_fused")
    save_patched(model, tmp_path)
    torch.testing.assert_close(logits(BertForMaskedLM.from_pretrained(tmp_path).eval()), logits(model))
    loaded, patch = load_patched(tmp_path)
    assert len(patch) == 4
    assert torch.equal(logits(loaded.eval()), logits(model))


def test_changed_mathematics_fails_loudly_in_plain_transformers_and_loads_here(tmp_path):
    from transformers import AutoModelForMaskedLM, BertForMaskedLM

    model = tiny_bert()
    stock = logits(model)
    patch_model(model, "relu", where="layer.[01].*")
    save_patched(model, tmp_path)
    with pytest.raises(OSError, match=r"load_this_with\.gelu_patch\.load_patched"):
        BertForMaskedLM.from_pretrained(tmp_path)
    loaded, patch = load_patched(tmp_path, AutoModelForMaskedLM)
    assert torch.equal(logits(loaded.eval()), logits(model))
    patch.revert()
    assert torch.equal(logits(loaded), stock)


def test_a_stock_model_leaves_no_sidecar(tmp_path):
    model = tiny_bert()
    patch_model(model, "gelu_fused")
    save_patched(model, tmp_path)
    unpatch_model(model)
    save_patched(model, tmp_path)
    assert not (tmp_path / SIDECAR).exists()
    with pytest.raises(ModelNotFound, match="holds no patched model"):
        load_patched(tmp_path)


def test_the_current_plan_reads_through_stacked_patches():
    model = tiny_bert()
    assert current_plan(model).target == "stock"
    patch_model(model, "relu")
    patch_model(model, "gelu_fused", where="layer.0.*", allow_empty=True)
    patch_model(model, "gelu_tanh", where="layer.1.*")
    plan = current_plan(model)
    assert [(change.before, change.after) for change in plan.changes] == [
        ("gelu", "relu"),
        ("gelu", "gelu_tanh"),
        ("gelu", "relu"),
        ("gelu", "relu"),
    ]
    assert {change.implementation for change in plan.changes} == {"GELUActivation"}


def test_a_model_without_save_pretrained_says_what_to_do(tmp_path):
    model = Mlp(nn.GELU())
    patch_model(model, "relu")
    with pytest.raises(UnsupportedModel, match="has no save_pretrained"):
        save_patched(model, tmp_path)


def test_a_gradient_of_few_bits_is_a_plain_checkpoint(tmp_path):
    """Its values are those of GELU: plain Transformers computes them, and our loading trains on as before."""
    from transformers import BertForMaskedLM, GPT2LMHeadModel

    model = tiny_bert()
    patch = patch_model(model, "gelu_fewbit")
    assert patch.plan.changes_mathematics
    assert not patch.plan.changes_values
    assert "gelu_fewbit: the gradient is approximate" in str(patch)
    model.save_pretrained(tmp_path / "bert")
    torch.testing.assert_close(logits(BertForMaskedLM.from_pretrained(tmp_path / "bert").eval()), logits(model))
    loaded, _ = load_patched(tmp_path / "bert")
    assert {change.after for change in current_plan(loaded).changes} == {"gelu_fewbit"}
    model.bert.save_pretrained(tmp_path / "part")

    model = tiny_gpt2()  # its tanh form becomes the erf form, and the config says so
    patch_model(model, "gelu_fewbit2")
    model.save_pretrained(tmp_path / "gpt2")
    plain = GPT2LMHeadModel.from_pretrained(tmp_path / "gpt2").eval()
    assert plain.config.activation_function == "gelu"
    torch.testing.assert_close(logits(plain), logits(model))
    loaded, _ = load_patched(tmp_path / "gpt2")
    assert {change.after for change in current_plan(loaded).changes} == {"gelu_fewbit2"}


def test_a_model_around_a_part_with_a_gradient_of_few_bits_may_be_saved(tmp_path):
    model = tiny_bert()
    patch_model(model.bert, "gelu_fewbit")
    model.save_pretrained(tmp_path)


def test_arguments_go_to_save_pretrained(tmp_path):
    model = tiny_bert()
    patch_model(model, "gelu_fused")
    assert save_patched(model, tmp_path, max_shard_size="20KB") == tmp_path
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
