"""accelerate's hooks and offloading: patch what can be patched, leave a hooked activation alone and say so."""

from __future__ import annotations

import copy

import pytest
import torch

from gelu_patch.errors import NothingToPatch, PatchConflict
from gelu_patch.kernels import KernelActivation
from gelu_patch.patching import patch_model, plan_patch, unpatch_model
from tests.traps.helpers import (
    PRETRAINED,
    TARGETS,
    InlineRelu,
    assert_same,
    every_pretrained,
    every_target,
    every_toy,
    frozen_output,
    gradients,
    trap,
)
from tests.zoo import Inline, Mlp, Stack, example_input

hooks = pytest.importorskip("accelerate.hooks")
from accelerate import Accelerator, cpu_offload, dispatch_model  # noqa: E402

CPU = torch.device("cpu")


def offloaded_to_memory(model, folder):
    return cpu_offload(model, execution_device=CPU)


def offloaded_to_disk(model, folder):
    """The last block on disk, the others in memory."""
    blocks = next(name for name, module in model.named_modules() if isinstance(module, torch.nn.ModuleList))
    disk = f"{blocks}.{len(model.get_submodule(blocks)) - 1}"
    above = {"", *(disk[:i] for i, letter in enumerate(disk) if letter == ".")}
    names = [name for name, _ in model.named_modules() if name.rpartition(".")[0] in above and name not in above]
    device_map = {name: "disk" if name == disk else "cpu" for name in names}
    return dispatch_model(model, device_map, main_device=CPU, offload_dir=folder, force_hooks=True)


@trap(5)
@every_pretrained
@every_target
@pytest.mark.parametrize("offload", [offloaded_to_memory, offloaded_to_disk])
@pytest.mark.parametrize("order", ["before", "after"])
def test_offloaded_weights(case, target, offload, order, tmp_path):
    expected = frozen_output(case.stock(TARGETS[target]), case.inputs())
    stock = frozen_output(case.stock(), case.inputs())
    model = case.stock()
    patch = patch_model(model, target) if order == "before" else None
    model = offload(model, tmp_path)
    assert any(parameter.is_meta for parameter in model.parameters())
    patch = patch or patch_model(model, target)
    assert len(patch) == case.n_sites
    assert not patch.rejected
    assert_same(frozen_output(model, case.inputs()), expected)
    patch.revert()
    assert torch.equal(frozen_output(model, case.inputs()), stock)


class Scaling(hooks.ModelHook):
    """A hook that is seen in the result."""

    def post_forward(self, module, output):
        return 3 * output


def hooked() -> Stack:
    model = Stack(Mlp(torch.nn.GELU()), Mlp(torch.nn.GELU()))
    hooks.add_hook_to_module(model.layers[0].act, Scaling())
    return model


@trap(8, 9)
def test_an_activation_with_a_hook_is_left_alone_with_the_reason():
    """accelerate replaces `forward` on the instance: what stood there instead would lose the hook."""
    model = hooked()
    before = model(example_input())
    patch = patch_model(model, "relu")
    assert [change.site for change in patch.replaced] == ["layers.1.act"]
    ((site, reason),) = patch.rejected
    assert site == "layers.0.act"
    assert "patch before the hooks are added" in reason
    assert "remove_hook_from_module" in reason
    patch.revert()
    assert torch.equal(model(example_input()), before)
    with pytest.raises(NothingToPatch, match="patch before the hooks are added"):
        patch_model(model, "relu", where="layers.0.*")


@trap(9, 10)
def test_the_next_step_that_the_refusal_names_works():
    model = hooked()
    reference = Stack(Mlp(torch.nn.ReLU()), Mlp(torch.nn.ReLU()))
    reference.load_state_dict(model.state_dict())
    hooks.remove_hook_from_module(model.layers[0].act)
    with patch_model(model, "relu") as patch:
        assert len(patch) == 2
        assert_same(model(example_input()), reference(example_input()))
        hooks.add_hook_to_module(model.layers[0].act, Scaling())
        hooks.add_hook_to_module(reference.layers[0].act, Scaling())
        assert_same(model(example_input()), reference(example_input()))
        hooks.remove_hook_from_module(model.layers[0].act)  # before the end of the block, which reverts


@trap(10)
@pytest.mark.parametrize("on", ["the activation", "its parent"])
def test_a_hook_added_to_a_patched_model_and_removed_leaves_the_patch(on):
    model = Mlp(torch.nn.GELU())
    stock = model(example_input())
    patch = patch_model(model, "relu")
    patched = model(example_input())
    place = model.act if on == "the activation" else model
    hooks.add_hook_to_module(place, Scaling())
    assert not torch.equal(model(example_input()), patched)
    hooks.remove_hook_from_module(place)
    assert isinstance(model.act, KernelActivation)
    assert torch.equal(model(example_input()), patched)
    patch.revert()
    assert torch.equal(model(example_input()), stock)


@trap(10)
def test_reverting_under_a_hook_does_not_bring_the_patch_back_later():
    """The hook goes with the object that it was put on; removing it later must not resurrect the patch."""
    model = Mlp(torch.nn.GELU())
    stock = model(example_input())
    patch = patch_model(model, "relu")
    replacement = model.act
    hooks.add_hook_to_module(replacement, Scaling())
    with pytest.raises(PatchConflict, match="hook") as refusal:
        patch.revert()
    assert "remove_hook_from_module" in refusal.value.next_step
    with pytest.raises(PatchConflict, match="hook"):
        unpatch_model(model)
    hooks.remove_hook_from_module(replacement)
    patch.revert()
    assert torch.equal(model(example_input()), stock)


@trap(8, 10)
@every_toy
@every_target
@pytest.mark.parametrize("order", ["hook, then patch", "patch, then hook"])
@pytest.mark.parametrize("first_off", ["hook", "patch"])
def test_a_hook_on_the_parent_stays_and_the_patch_runs(case, target, order, first_off):
    model, reference = case.stock(), case.stock(TARGETS[target])
    stock, changed = frozen_output(model, case.inputs()), frozen_output(reference, case.inputs())
    hooks.add_hook_to_module(reference.layers[0], Scaling())
    expected = frozen_output(reference, case.inputs())
    if order == "hook, then patch":
        hooks.add_hook_to_module(model.layers[0], Scaling())
        hooked_stock = frozen_output(model, case.inputs())
        patch = patch_model(model, target)
    else:
        patch = patch_model(model, target)
        hooks.add_hook_to_module(model.layers[0], Scaling())
    assert len(patch) == case.n_sites
    assert_same(frozen_output(model, case.inputs()), expected)
    if first_off == "hook":
        hooks.remove_hook_from_module(model.layers[0])
        assert_same(frozen_output(model, case.inputs()), changed)
        patch.revert()
    else:
        patch.revert()
        if order == "hook, then patch":
            assert torch.equal(frozen_output(model, case.inputs()), hooked_stock)
        hooks.remove_hook_from_module(model.layers[0])
    assert torch.equal(frozen_output(model, case.inputs()), stock)


@pytest.fixture
def accelerator():
    yield Accelerator(mixed_precision="bf16", cpu=True)
    from accelerate.state import AcceleratorState, GradientState, PartialState

    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()


@trap(14)
@every_pretrained
@every_target
def test_a_copy_of_a_prepared_model(case, target, accelerator):
    """`prepare` puts a forward on the instance; the copy's must run the copy's activations and weights."""
    reference = accelerator.prepare_model(case.stock(TARGETS[target]), evaluation_mode=True)
    expected = frozen_output(reference, case.inputs())
    prepared = accelerator.prepare_model(case.stock(), evaluation_mode=True)
    stock = frozen_output(prepared, case.inputs())
    twin = copy.deepcopy(prepared)
    patch = patch_model(twin, target)
    assert len(patch) == case.n_sites
    assert_same(frozen_output(twin, case.inputs()), expected, tolerance=2e-2)
    assert torch.equal(frozen_output(prepared, case.inputs()), stock)
    patch.revert()
    assert torch.equal(frozen_output(twin, case.inputs()), stock)

    early = accelerator.prepare_model(case.patched(target), evaluation_mode=True)
    assert_same(frozen_output(copy.deepcopy(early), case.inputs()), frozen_output(early, case.inputs()))


@trap(8, 14)
def test_a_prepared_model_whose_own_forward_holds_the_gelu(accelerator):
    """Patched first, the wrapped forward is the patched one; wrapped first, it is out of reach and refused."""
    reference = accelerator.prepare_model(InlineRelu(), evaluation_mode=True)
    early, late = Inline(), Inline()
    patch = patch_model(early, "relu")
    for model in (early, late):
        model.load_state_dict(reference.state_dict())
        accelerator.prepare_model(model, evaluation_mode=True)
    stock = late(example_input())
    with pytest.raises(NothingToPatch, match="patch before that is done"):
        patch_model(late, "relu")
    assert torch.equal(late(example_input()), stock)
    for model in (early, copy.deepcopy(early)):
        assert_same(model(example_input()), reference(example_input()))
    patch.revert()
    assert torch.equal(early(example_input()), stock)


@every_pretrained
@every_target
def test_autocast_to_bf16(case, target):
    found, expected = case.patched(target), case.stock(TARGETS[target])
    with torch.autocast("cpu", torch.bfloat16):
        assert_same(frozen_output(found, case.inputs()), frozen_output(expected, case.inputs()), tolerance=2e-2)
        assert_same(gradients(found, case.inputs()), gradients(expected, case.inputs()), tolerance=5e-2)


def test_an_offloaded_model_is_planned_without_reading_weights(tmp_path):
    case = PRETRAINED["BERT"]
    model = offloaded_to_memory(case.stock(), tmp_path)
    assert len(plan_patch(model, "relu").changes) == case.n_sites
