"""A saved checkpoint never lies about its mathematics."""

import json

import pytest
import torch
from torch import nn

from gelu_patch.errors import DataError, ModelNotFound, PatchConflict, UnsupportedModel
from gelu_patch.patching import current_plan, load_patched, patch_model, save_patched, unpatch_model
from gelu_patch.patching.persist import SIDECAR
from tests.zoo import Mlp, logits, tiny_bert


def test_the_same_mathematics_is_a_plain_checkpoint_with_a_sidecar(tmp_path):
    from transformers import BertForMaskedLM

    model = tiny_bert()
    patch_model(model, "gelu_fused")
    save_patched(model, tmp_path)
    assert torch.equal(logits(BertForMaskedLM.from_pretrained(tmp_path).eval()), logits(model))
    loaded, patch = load_patched(tmp_path)
    assert len(patch) == 4
    assert torch.equal(logits(loaded.eval()), logits(model))


def test_changed_mathematics_fails_loudly_in_plain_transformers_and_loads_here(tmp_path):
    from transformers import AutoModelForMaskedLM, BertForMaskedLM

    model = tiny_bert()
    stock = logits(model)
    patch_model(model, "relu", where="layer.[01].*")
    save_patched(model, tmp_path)
    with pytest.raises(OSError, match=r"no file named model\.safetensors"):
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


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 9}', '{"version": 1, "plan": {"version": 1}}'])
def test_a_damaged_or_newer_sidecar_is_refused(tmp_path, text):
    model = tiny_bert()
    patch_model(model, "gelu_fused")
    save_patched(model, tmp_path)
    (tmp_path / SIDECAR).write_text(text)
    with pytest.raises(DataError, match="cannot use"):
        load_patched(tmp_path)


def test_a_foreign_sidecar_is_refused(tmp_path):
    model = tiny_bert()
    patch_model(model, "gelu_fused")
    save_patched(model, tmp_path)
    content = json.loads((tmp_path / SIDECAR).read_text())
    content["plan"]["changes"][0]["site"] = "somewhere.else"
    (tmp_path / SIDECAR).write_text(json.dumps(content))
    with pytest.raises(PatchConflict, match="does not fit"):
        load_patched(tmp_path)


def test_a_model_without_save_pretrained_says_what_to_do(tmp_path):
    model = Mlp(nn.GELU())
    patch_model(model, "relu")
    with pytest.raises(UnsupportedModel, match="has no save_pretrained"):
        save_patched(model, tmp_path)
