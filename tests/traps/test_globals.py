"""What is global to the process stays as it is: F.gelu, ACT2FN, the objects of Transformers, configs, other models."""

from __future__ import annotations

import importlib.util
import json

import pytest
import torch
import torch.nn.functional as F

from gelu_patch.patching import current_plan, patch_act2fn, patch_model, save_patched
from tests.traps.helpers import (
    TARGETS,
    assert_same,
    every_built,
    every_case,
    every_pretrained,
    every_target,
    frozen_output,
    rows,
    trap,
)


@trap(23, 24)
@every_case
@every_target
def test_other_models_are_bit_identical_before_during_and_after(case, target):
    other = case.stock()
    stock, functional = frozen_output(other, case.inputs()), F.gelu
    with patch_model(case.stock(), target):
        assert torch.equal(frozen_output(other, case.inputs()), stock)
        assert torch.equal(frozen_output(case.stock(), case.inputs()), stock), "a model built meanwhile is patched"
        assert F.gelu is functional
    assert torch.equal(frozen_output(other, case.inputs()), stock)


@trap(23)
@every_built
@every_target
def test_patching_while_models_are_built_reaches_only_those(case, target):
    from transformers import activations as theirs

    before = case.stock()
    stock = frozen_output(before, case.inputs())
    table, function = entries(theirs.ACT2FN), theirs.gelu
    with patch_act2fn(target):
        inside = case.stock()
        assert torch.equal(frozen_output(before, case.inputs()), stock)
        assert theirs.gelu is function
    assert_same(frozen_output(inside, case.inputs()), frozen_output(case.stock(TARGETS[target]), case.inputs()))
    assert len(current_plan(inside).changes) == case.n_sites
    assert torch.equal(frozen_output(case.stock(), case.inputs()), stock)
    assert entries(theirs.ACT2FN) == table


def entries(table):
    """What stands in the table; its own look-up builds modules."""
    return {key: dict.__getitem__(table, key) for key in table}


@trap(24)
@every_case
def test_somebody_elses_replacement_of_the_function_does_not_last_in_a_patch(case, monkeypatch):
    """A model that was patched meanwhile does not keep the stranger after it is gone."""
    expected = frozen_output(case.stock("relu"), case.inputs())
    model = case.stock()
    stock = frozen_output(model, case.inputs())
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(F, "gelu", torch.tanh)
        patch = patch_model(model, "relu")
    assert_same(frozen_output(model, case.inputs()), expected)
    patch.revert()
    assert torch.equal(frozen_output(model, case.inputs()), stock)


@trap(25)
@every_pretrained
@every_target
def test_a_saved_config_holds_no_name_that_transformers_does_not_know(case, target, tmp_path):
    from transformers.activations import ACT2CLS

    save_patched(case.patched(target), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (name,) = [config[key] for key in ("hidden_act", "activation_function") if key in config]
    assert name in ACT2CLS
    assert not [value for value in config.values() if isinstance(value, str) and value.startswith("gelu_fused")]


REMOTE_CODE = """
import torch
from torch import nn
from torch.nn import functional as F
from transformers.activations import ACT2FN

SHIFT = 0.0

class RemoteMlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.up = nn.Linear(8, 16)
        self.act_fn = ACT2FN["gelu"]
        self.down = nn.Linear(16, 8)

    def forward(self, x):
        return F.gelu(self.down(self.act_fn(self.up(x)))) + SHIFT
"""


@pytest.fixture
def remote(tmp_path):
    """A module that is loaded from a file, as `trust_remote_code=True` does."""
    path = tmp_path / "modeling_remote.py"
    path.write_text(REMOTE_CODE)
    spec = importlib.util.spec_from_file_location("modeling_remote", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@trap(34)
def test_remote_code_one_instance_is_patched_and_its_module_is_still_read(remote):
    model, other = remote.RemoteMlp(), remote.RemoteMlp()
    other.load_state_dict(model.state_dict())
    x, names = rows()["x"], dict(vars(remote))
    stock = frozen_output(other, {"x": x})
    with patch_model(model, "relu") as patch:
        assert [change.form for change in patch.replaced] == ["module", "inline"]
        patched = frozen_output(model, {"x": x})
        assert not torch.allclose(patched, stock)
        assert torch.equal(frozen_output(other, {"x": x}), stock)
        assert vars(remote) == names
        remote.SHIFT = 5.0  # later edits of the module's globals are seen by patched instances, too
        assert torch.equal(frozen_output(model, {"x": x}), patched + 5)
        assert torch.equal(frozen_output(other, {"x": x}), stock + 5)
    assert torch.equal(frozen_output(model, {"x": x}), stock + 5)
