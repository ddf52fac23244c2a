"""PEFT before and after a patch: adapters act on the Linears, the patch on the activations, in either order."""

from __future__ import annotations

import copy

import pytest
import torch

from gelu_patch.patching import current_plan, patch_model, unpatch_model
from tests.traps.helpers import (
    PRETRAINED,
    TARGETS,
    assert_same,
    every_case,
    every_target,
    frozen_output,
    gradients,
    trap,
)

peft = pytest.importorskip("peft")

# PEFT 0.21 asks Transformers 5.23 by the old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

every_order = pytest.mark.parametrize("order", ["patch, then LoRA", "LoRA, then patch"])


def with_lora(model, case, **kwargs):
    """LoRA on the Linears before the activations, with adapters that change the answer."""
    config = peft.LoraConfig(r=4, target_modules=list(case.up), fan_in_fan_out="c_fc" in case.up, **kwargs)
    adapted = peft.get_peft_model(model, config)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)
    return adapted.eval()


def patched_with_lora(case, target, order, **kwargs):
    if order == "patch, then LoRA":
        return with_lora(case.patched(target), case, **kwargs)
    adapted = with_lora(case.stock(), case, **kwargs)
    patch = patch_model(adapted, target)
    assert len(patch) >= case.n_sites
    assert not patch.rejected
    return adapted


@trap(1, 2)
@every_case
@every_target
@every_order
def test_lora_on_the_linear_before_the_activation(case, target, order):
    found = patched_with_lora(case, target, order)
    expected = with_lora(case.stock(TARGETS[target]), case)
    assert_same(frozen_output(found, case.inputs()), frozen_output(expected, case.inputs()))
    with pytest.raises(AssertionError, match="differs"):  # otherwise the adapter proves nothing
        assert_same(frozen_output(found, case.inputs()), frozen_output(case.stock(TARGETS[target]), case.inputs()))
    of_adapters = gradients(expected, case.inputs())
    assert len(of_adapters) == 2 * case.n_sites
    assert_same(gradients(found, case.inputs()), of_adapters)


@trap(1)
@every_case
@every_target
@every_order
def test_merging_changes_nothing_and_the_patch_stays(case, target, order):
    adapted = patched_with_lora(case, target, order)
    before = frozen_output(adapted, case.inputs())
    merged = adapted.merge_and_unload()
    assert_same(frozen_output(merged, case.inputs()), before)
    assert len(current_plan(merged).changes) == case.n_sites
    assert unpatch_model(merged) == case.n_sites
    expected = with_lora(case.stock(), case).merge_and_unload()
    assert_same(frozen_output(merged, case.inputs()), frozen_output(expected, case.inputs()))


@every_case
@every_order
def test_unloading_and_reverting_in_either_order_gives_the_stock_model(case, order):
    stock = frozen_output(case.stock(), case.inputs())
    adapted = patched_with_lora(case, "relu", order)
    base = adapted.unload()
    assert_same(frozen_output(base, case.inputs()), frozen_output(case.stock("relu"), case.inputs()))
    unpatch_model(base)
    assert torch.equal(frozen_output(base, case.inputs()), stock)

    adapted = patched_with_lora(case, "relu", order)
    unpatch_model(adapted)
    expected = with_lora(case.stock(), case)
    assert torch.equal(frozen_output(adapted, case.inputs()), frozen_output(expected, case.inputs()))
    assert torch.equal(frozen_output(adapted.unload(), case.inputs()), stock)


@trap(2, 3)
@every_case
@every_target
def test_the_names_that_adapters_target_are_still_there(case, target):
    patched, stock = case.patched(target), case.stock()
    assert [name for name, _ in patched.named_parameters()] == [name for name, _ in stock.named_parameters()]
    kinds = {name: type(module) for name, module in stock.named_modules() if name.endswith(case.up)}
    assert kinds == {name: type(module) for name, module in patched.named_modules() if name.endswith(case.up)}
    found, expected = with_lora(patched, case), with_lora(stock, case)
    assert list(found.state_dict()) == list(expected.state_dict())


@trap(4)
@every_case
def test_adapters_with_control_flow_are_no_reason_to_skip_a_site(case):
    """LoRA's forward cannot be traced by torch.fx; nothing here traces it."""
    adapted = with_lora(case.stock(), case)
    with pytest.raises((torch.fx.proxy.TraceError, TypeError)):
        torch.fx.symbolic_trace(next(m for name, m in adapted.named_modules() if name.endswith(case.up)))
    patch = patch_model(adapted, "relu")
    assert (len(patch), patch.rejected) == (case.n_sites, ())


@every_target
@every_order
def test_modules_to_save(target, order):
    """PEFT keeps two copies of these modules, the original and the trained one, each with its own activation."""
    case = PRETRAINED["BERT"]
    kept = {"modules_to_save": ["intermediate", "classifier"]}
    case_lora = copy.copy(case)
    object.__setattr__(case_lora, "up", ("output.dense",))
    found = patched_with_lora(case_lora, target, order, **kept)
    expected = with_lora(case.stock(TARGETS[target]), case_lora, **kept)
    assert len(current_plan(found).changes) == 2 * case.n_sites
    assert_same(frozen_output(found, case.inputs()), frozen_output(expected, case.inputs()))
    assert_same(gradients(found, case.inputs()), gradients(expected, case.inputs()))
    with found.disable_adapter():
        assert_same(frozen_output(found, case.inputs()), frozen_output(case.stock(TARGETS[target]), case.inputs()))
    merged = found.merge_and_unload()
    assert_same(frozen_output(merged, case.inputs()), frozen_output(expected.merge_and_unload(), case.inputs()))
    assert len(current_plan(merged).changes) == case.n_sites


def test_an_adapter_trained_on_a_patched_base_loads_into_a_stock_base(tmp_path):
    case = PRETRAINED["BERT"]
    adapted = patched_with_lora(case, "gelu_fused", "patch, then LoRA")
    adapted.save_pretrained(tmp_path)
    loaded = peft.PeftModel.from_pretrained(case.stock(), tmp_path).eval()
    assert_same(frozen_output(loaded, case.inputs()), frozen_output(adapted, case.inputs()))
