"""The stand-in class: right for every instance, copied and pickled as patched, gone without a trace."""

import copy
import inspect
import io
import pickle
import threading
import traceback

import pytest
import torch
from torch import nn

from gelu_patch.errors import PatchConflict
from gelu_patch.kernels import KernelActivation
from gelu_patch.patching import patch_model, unpatch_model
from gelu_patch.sites import find_sites
from tests import zoo_inline as zoo
from tests.zoo import Stack, example_input

KINDS = [
    zoo.Inline, zoo.Flavoured, zoo.HandWrittenFunction, zoo.GlobalModule, zoo.LookUp, zoo.BuiltInForward, zoo.Formula,
    zoo.TanhFormula, zoo.Decorated, zoo.Derived, zoo.CallsSuper, zoo.OwnSuper, zoo.TwoMethods,
]  # fmt: skip


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def model(request):
    torch.manual_seed(0)
    return request.param()


def test_the_class_and_the_attributes_come_back(model):
    kind, attributes = type(model), dict(vars(model))
    patch = patch_model(model, "relu")
    assert type(model) is not kind
    assert isinstance(model, kind)
    patch.revert()
    assert type(model) is kind
    assert vars(model) == attributes


def test_the_stand_in_looks_like_the_class(model):
    kind = type(model)
    described = repr(model)
    patch_model(model, "relu")
    stand_in = type(model)
    assert str(stand_in) == str(kind)
    assert (stand_in.__name__, stand_in.__module__, stand_in.__doc__) == (kind.__name__, kind.__module__, kind.__doc__)
    assert inspect.signature(model.forward) == inspect.signature(kind().forward)
    assert repr(model) == described
    assert [name for name, _ in model.named_modules()] == ["", "up"]


def test_instances_share_one_stand_in():
    model = Stack(zoo.Inline(), zoo.Inline(), zoo.Inline())
    patch_model(model, {"layers.0.*": "relu", "layers.1.*": "gelu_tanh"})
    first, second, third = model.layers
    assert type(first) is type(second), "torch.compile would compile each layer again"
    assert type(third) is zoo.Inline
    x = example_input()
    assert torch.equal(first(x), torch.relu(first.up(x)))
    torch.testing.assert_close(second(x), nn.GELU("tanh")(second.up(x)))


@pytest.mark.parametrize("duplicate", ["deepcopy", "pickle", "torch.save"])
def test_a_copy_stays_patched_and_can_be_unpatched(model, duplicate):
    x = example_input()
    stock = model(x)
    patch = patch_model(model, "relu")
    patched = model(x)
    twin = {
        "deepcopy": copy.deepcopy,
        "pickle": lambda module: pickle.loads(pickle.dumps(module)),
        "torch.save": through_a_file,
    }[duplicate](model)
    assert torch.equal(twin(x), patched)
    twin.up.weight.data.zero_()
    assert torch.equal(model(x), patched), "the copy shares parameters"
    twin.up.weight.data.copy_(model.up.weight)
    patch.revert()
    assert torch.equal(twin(x), patched), "undoing the original undid the copy"
    assert unpatch_model(twin) == len(find_sites(twin))
    assert type(twin) is type(model)
    assert torch.equal(twin(x), stock)


def through_a_file(module):
    buffer = io.BytesIO()
    torch.save(module, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


def test_the_source_shown_is_the_source_that_runs():
    model = zoo.Flavoured()
    patch_model(model, "relu")
    lines, _ = inspect.getsourcelines(model.forward)
    assert len(lines) == len(inspect.getsource(zoo.Flavoured.forward).splitlines())
    assert "_gelu_patch_forward_gelu_0" in "".join(lines)


def test_a_traceback_points_at_the_line_of_the_file():
    model = zoo.Flavoured()
    patch_model(model, "relu")
    with pytest.raises(RuntimeError) as caught:
        model(torch.ones(3))
    frames = traceback.extract_tb(caught.tb)
    frame = next(frame for frame in frames if frame.name == "forward" and "zoo_inline" in frame.filename)
    assert "self.up)(x)" in frame.line
    assert frame.lineno == zoo.Flavoured.forward.__code__.co_firstlineno + 2


def test_the_globals_are_the_module_s_own(monkeypatch):
    model = zoo.HandWrittenFunction()
    patch_model(model, "gelu_fused")
    unpatch = patch_model(model, "relu")
    assert type(model).forward.__globals__ is vars(zoo)
    unpatch.revert()


def test_patches_nest():
    model, x = zoo.Flavoured(), example_input()
    stock = model(x)
    outer = patch_model(model, "gelu_fused")
    first = model(x)
    inner = patch_model(model, "relu", where="forward.gelu.1")
    with pytest.raises(PatchConflict, match="a later patch lies on top"):
        outer.revert()
    inner.revert()
    assert torch.equal(model(x), first)
    outer.revert()
    outer.revert()
    assert torch.equal(model(x), stock)


def test_one_of_two_expressions():
    model, x = zoo.Flavoured(), example_input()
    patch_model(model, "relu", where="*.gelu.0")
    kinds = {site.key: type(site.current) for found in find_sites(model) for site in found.owners}
    assert kinds["forward.gelu.0"] is KernelActivation
    assert torch.equal(model(x), nn.GELU()(torch.relu(model.up(x))))
    unpatch_model(model)
    patch_model(model, "relu", where="*.gelu.1")
    assert torch.equal(model(x), torch.relu(nn.GELU("tanh")(model.up(x)))), "the other one keeps its flavour"


def test_a_method_replaced_on_the_instance_is_out_of_reach():
    model = zoo.Inline()
    model.forward = lambda x: x
    (site,) = find_sites(model)
    assert "forward is replaced on the instance" in site.obstacle


def test_the_hooks_of_accelerate_keep_running_the_right_forward():
    from accelerate.hooks import ModelHook, add_hook_to_module, remove_hook_from_module

    model, x = zoo.Inline(), example_input()
    stock, relu = model(x), torch.relu(model.up(x))
    add_hook_to_module(model, ModelHook())
    patch = patch_model(model, "relu")
    assert torch.equal(model(x), relu)
    remove_hook_from_module(model)
    assert torch.equal(model(x), relu)
    patch.revert()
    assert torch.equal(model(x), stock)

    patch = patch_model(model, "relu")
    add_hook_to_module(model, ModelHook())
    patch.revert()
    assert torch.equal(model(x), stock)
    remove_hook_from_module(model)
    assert torch.equal(model(x), stock)


def test_a_thread_inside_a_forward_goes_on_while_the_patch_is_undone():
    model, x = zoo.Inline(), example_input()
    stock = model(x)
    reached, undone = threading.Event(), threading.Event()

    def wait(*_):
        reached.set()
        assert undone.wait(10)

    patch = patch_model(model, "relu")
    handle = model.up.register_forward_hook(wait)
    results = []
    thread = threading.Thread(target=lambda: results.append(model(x)))
    thread.start()
    assert reached.wait(10)
    patch.revert()
    undone.set()
    thread.join()
    handle.remove()
    assert any(torch.equal(results[0], expected) for expected in (stock, torch.relu(model.up(x))))


class OwnPickling(zoo.Inline):
    def __reduce__(self):
        return OwnPickling, ()


def test_a_class_with_its_own_pickling_is_refused_loudly():
    model = OwnPickling()
    patch_model(model, "relu")
    with pytest.raises(pickle.PicklingError, match="unpatch_model"):
        pickle.dumps(model)


def test_another_class_on_top_of_the_stand_in():
    """FSDP2 does this: a new class, made of its own and the module's."""
    model, x = zoo.Inline(), example_input()
    stock = model(x)
    patch = patch_model(model, "relu")
    model.__class__ = type("Sharded", (type(model),), {})
    assert torch.equal(model(x), torch.relu(model.up(x)))
    patch.revert()
    assert torch.equal(model(x), stock)
    patch = patch_model(model, "relu")
    assert torch.equal(model(x), torch.relu(model.up(x)))
    patch.revert()
    patch.revert()
    assert torch.equal(model(x), stock)
