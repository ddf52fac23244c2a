"""Models built inside the block are patched; nothing else is."""

import threading

import pytest
import torch
from transformers.activations import ACT2FN

from gelu_patch.errors import UnknownName
from gelu_patch.kernels import KernelActivation
from gelu_patch.patching import patch_act2fn, unpatch_model
from gelu_patch.sites import find_sites
from tests.zoo import logits, tiny_bert, tiny_gpt2


def activations_of(model):
    return [site.activation for site in find_sites(model)]


@pytest.mark.parametrize("build", [tiny_bert, tiny_gpt2])
def test_models_built_inside_are_patched_and_stay_so(build):
    with patch_act2fn("relu"):
        model = build()
    assert set(activations_of(model)) == {"relu"}
    torch.manual_seed(0)
    stock = build()
    stock.load_state_dict(model.state_dict())
    assert not torch.allclose(logits(model), logits(stock), atol=1e-4)
    unpatch_model(model)
    assert torch.equal(logits(model), logits(stock))


def test_same_mathematics_and_models_built_outside():
    before = tiny_gpt2()
    with patch_act2fn("gelu_fused"):
        model = tiny_gpt2()
    after = tiny_gpt2()
    assert all(isinstance(site.target, KernelActivation) for site in find_sites(model))
    assert activations_of(model) == activations_of(before) == activations_of(after) == ["gelu_tanh"] * 2
    assert not any(isinstance(site.target, KernelActivation) for site in find_sites(after))


def test_the_table_is_restored_also_after_an_error_and_when_nested():
    table = {key: dict.__getitem__(ACT2FN, key) for key in ACT2FN}

    def build_and_fail():
        assert activations_of(tiny_gpt2()) == ["silu"] * 2
        raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"), patch_act2fn("relu"), patch_act2fn("silu"):
        build_and_fail()
    assert {key: dict.__getitem__(ACT2FN, key) for key in ACT2FN} == table
    assert list(ACT2FN) == list(table)


def test_other_threads_get_the_stock_activation():
    found = []
    with patch_act2fn("relu"):
        thread = threading.Thread(target=lambda: found.append(type(ACT2FN["gelu"]).__name__))
        thread.start()
        thread.join()
    assert found == ["GELUActivation"]


def test_blocks_of_two_threads_may_overlap():
    """A opens, B opens, A closes, B closes: each sees its own target, and the table ends as it was."""
    steps = {name: threading.Event() for name in ("a_open", "b_open", "a_closed")}
    found = {}

    def a():
        with patch_act2fn("relu"):
            steps["a_open"].set()
            assert steps["b_open"].wait(10)
            found["a"] = ACT2FN["gelu"].activation
        steps["a_closed"].set()

    def b():
        assert steps["a_open"].wait(10)
        with patch_act2fn("silu"):
            steps["b_open"].set()
            assert steps["a_closed"].wait(10)
            found["b"] = ACT2FN["gelu"].activation

    threads = [threading.Thread(target=a), threading.Thread(target=b)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"a": "relu", "b": "silu"}
    assert type(ACT2FN["gelu"]).__name__ == "GELUActivation"


def test_an_unknown_target_changes_nothing():
    with pytest.raises(UnknownName), patch_act2fn("gelu_fussed"):
        pass
