"""A patched model is as exact as PyTorch's ops, and a wrong one is found."""

import pytest
import torch
from torch import nn

import gelu_patch as gp
from gelu_patch.errors import NothingToPatch, UnsupportedModel, UsageError
from tests.zoo import Mlp, Stack, tiny_bert, tiny_gpt2, tokens
from tests.zoo_inline import WIDTH


@pytest.mark.parametrize("target", ["gelu_fused", "relu", "gelu_tanh"])
@pytest.mark.parametrize("build", [tiny_bert, tiny_gpt2])
def test_a_patched_model_is_right(build, target):
    model = build().train()
    gp.patch_model(model, target)
    check = gp.check_patch(model)
    assert check.kept, str(check)
    assert {"hidden_states[0]", "hidden_states[1]"} <= {each.name for each in check.outputs}
    assert check.changes_mathematics == (target == "relu" or (target, build) == ("gelu_tanh", tiny_bert))
    assert f"{check.n_sites} patched site" in str(check)
    assert model.training


def test_a_wrong_kernel_is_found_where_it_begins(monkeypatch):
    model = tiny_bert()
    for name, weight in model.named_parameters():
        if "intermediate" in name:
            weight.data.normal_()  # near 0, where random models live, all forms of GELU are equal
    gp.patch_model(model, "gelu_fused")
    assert gp.check_patch(model).kept
    parts = [m for m in model.modules() if type(m).__name__ == "KernelActivation"]
    # erf computed as tanh: 1e-4, which every loose tolerance lets pass
    monkeypatch.setattr(parts[0], "function", lambda x: nn.functional.gelu(x, approximate="tanh"))
    check = gp.check_patch(model)
    assert not check.kept
    assert "hidden_states[0]" not in check.wrong
    assert "hidden_states[1]" in check.wrong
    assert "WRONG" in str(check)


def test_any_module_and_any_inputs():
    model, x = Stack(Mlp(nn.GELU()), Mlp(nn.GELU("tanh"))), torch.randn(5, WIDTH)
    gp.patch_model(model, "gelu_fused")
    for inputs in (x, (x,)):
        check = gp.check_patch(model, inputs)
        assert [each.name for each in check.outputs] == ["output"]
        assert check.kept
    with pytest.raises(UsageError, match="does not say what to run it on"):
        gp.check_patch(model)
    with pytest.raises(UnsupportedModel, match="on the example inputs failed"):
        gp.check_patch(model, torch.randn(5, WIDTH + 1))
    with pytest.raises(UnsupportedModel, match="nothing to compare"):
        gp.check_patch(model, x * float("nan"))


def test_bfloat16():
    model = tiny_gpt2().to(torch.bfloat16)
    gp.patch_model(model, "gelu_fused")
    assert gp.check_patch(model, tokens()).kept


def test_nothing_to_check():
    with pytest.raises(NothingToPatch, match="no patch to check"):
        gp.check_patch(tiny_bert())
