"""Copies of patched models: they stay patched, compute with their own weights, and can be unpatched."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys

import pytest
import torch

from gelu_patch.patching import current_plan, patch_model, unpatch_model
from gelu_patch.sites import inspect_model
from gelu_patch.sites.base import AttributeOwner, SubmoduleOwner
from gelu_patch.sites.inline.owner import InlineOwner
from tests.traps.helpers import TARGETS, assert_same, every_case, every_pretrained, every_target, frozen_output, trap
from tests.zoo import ZOO, example_input, tokens


def through_a_file(model):
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "torch.save": through_a_file,
}
every_copy = pytest.mark.parametrize("make", COPIES.values(), ids=COPIES)


@trap(11, 12, 13)
@every_case
@every_target
@every_copy
def test_a_copy_is_patched_and_its_own(case, target, make):
    model = case.patched(target)
    patched, stock = frozen_output(model, case.inputs()), frozen_output(case.stock(), case.inputs())
    twin = make(model)
    assert current_plan(twin) == current_plan(model)
    assert torch.equal(frozen_output(twin, case.inputs()), patched)
    assert unpatch_model(twin) == case.n_sites
    assert torch.equal(frozen_output(twin, case.inputs()), stock)
    assert torch.equal(frozen_output(model, case.inputs()), patched), "unpatching the copy changed the original"
    patch_model(twin, target)
    unpatch_model(model)
    assert torch.equal(frozen_output(twin, case.inputs()), patched), "unpatching the original changed the copy"


@trap(13)
@every_case
@every_copy
def test_a_copy_computes_with_its_own_weights(case, make):
    model = case.patched("relu")
    patched = frozen_output(model, case.inputs())
    twin, reference = make(model), case.stock("relu")
    with torch.no_grad():
        for each in (twin, reference):
            for parameter in each.parameters():
                parameter.mul_(1.1)
    assert_same(frozen_output(twin, case.inputs()), frozen_output(reference, case.inputs()))
    assert torch.equal(frozen_output(model, case.inputs()), patched)


@trap(11, 12)
def test_a_pickled_model_loads_in_a_process_that_has_not_patched_anything(tmp_path):
    model = ZOO["inline beside a site"].build()
    patch_model(model, "relu")
    torch.save((model, model(example_input())), tmp_path / "model.pt")
    code = (
        "import sys, torch; model, expected = torch.load(sys.argv[1], weights_only=False);"
        "from tests.zoo import example_input; assert torch.equal(model(example_input()), expected);"
        "from gelu_patch import unpatch_model; assert unpatch_model(model) == 2;"
        "print(type(model.layers[0].act).__name__)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "model.pt"], capture_output=True, text=True, check=True, timeout=120
    )
    assert run.stdout.strip() == "GELU"


@trap(29)
@every_case
@every_target
def test_state_dict_keys_are_those_of_stock_and_load_strictly_both_ways(case, target):
    patched, stock = case.patched(target), case.stock()
    assert list(patched.state_dict()) == list(stock.state_dict())
    other = case.stock(TARGETS[target])
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.1)
    patched.load_state_dict(other.state_dict(), strict=True)
    assert_same(frozen_output(patched, case.inputs()), frozen_output(other, case.inputs()))
    stock.load_state_dict(patched.state_dict(), strict=True)
    assert [name for name, _ in patched.named_parameters()] == [name for name, _ in stock.named_parameters()]


@trap(19)
@pytest.mark.parametrize("name", ["shared instance", "shared parent", "global instance"])
@every_copy
def test_a_shared_activation_is_patched_at_every_owner(name, make):
    model = ZOO[name].build()
    for each in (model, make(model)):
        stock = each(example_input())
        patch = patch_model(each, "relu")
        assert len(patch) == 1
        census = inspect_model(each, example_input())
        assert list(census.executions.values()) == [ZOO[name].executions]
        assert census.n_missed == 0
        patch.revert()
        assert torch.equal(each(example_input()), stock)


@trap(19)
def test_albert_shares_its_layer_one_site_runs_four_times():
    from transformers import AlbertConfig, AlbertModel

    config = AlbertConfig(
        embedding_size=16, hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=64,
        vocab_size=100,
    )  # fmt: skip
    model = AlbertModel(config).eval()
    assert len(patch_model(model, "relu")) == 1
    (runs,) = inspect_model(model, tokens()).executions.values()
    assert runs == 4


@trap(20, 21)
@every_case
@pytest.mark.parametrize("failing", range(2))
def test_an_exception_in_the_middle_of_a_patch_changes_nothing(case, failing, monkeypatch):
    model = case.stock()
    stock = frozen_output(model, case.inputs())
    calls = []

    def flaky(put, owner, thing):
        calls.append(thing)
        if len(calls) == failing + 1:
            raise KeyboardInterrupt
        put(owner, thing)

    for kind in (SubmoduleOwner, AttributeOwner, InlineOwner):
        put = kind.put
        monkeypatch.setattr(kind, "put", lambda owner, thing, put=put: flaky(put, owner, thing))
    with pytest.raises(KeyboardInterrupt):
        patch_model(model, "relu")
    monkeypatch.undo()
    assert not current_plan(model).changes
    assert torch.equal(frozen_output(model, case.inputs()), stock)
    with patch_model(model, "relu") as patch:
        assert len(patch) == case.n_sites


@trap(22)
@every_case
def test_patched_twice_unpatched_once(case):
    model = case.stock()
    stock = frozen_output(model, case.inputs())
    first = patch_model(model, "relu")
    second = patch_model(model, "gelu_quick")
    assert unpatch_model(model) == case.n_sites
    assert torch.equal(frozen_output(model, case.inputs()), stock)
    first.revert()
    second.revert()
    assert torch.equal(frozen_output(model, case.inputs()), stock)


@trap(26, 27)
@every_pretrained
@every_target
def test_train_and_eval_reach_dropout_and_keyword_arguments_pass(case, target):
    """Nothing of a forward is frozen at the time of the patch."""
    found, expected = case.patched(target), case.stock(TARGETS[target])
    inputs = case.inputs() | {"attention_mask": torch.tensor([[1] * 8, [1] * 5 + [0] * 3])}
    for mode in (True, False):
        outputs = []
        for model in (found, expected):
            torch.manual_seed(3)
            model.train(mode)
            outputs.append(model(**inputs, output_hidden_states=True).hidden_states[-1].detach())
        assert_same(*outputs)
        again = found(**inputs, output_hidden_states=True).hidden_states[-1]
        assert torch.equal(again, outputs[0]) is not mode, "dropout is on in training and off in evaluation"
