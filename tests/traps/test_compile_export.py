"""torch.compile, torch.export, torch.fx: what is compiled is what the model runs, also after a patch and a revert."""

from __future__ import annotations

import io

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from gelu_patch.patching import patch_model
from gelu_patch.sites import find_sites
from tests.traps.helpers import (
    PRETRAINED,
    TARGETS,
    TOYS,
    assert_same,
    every_pair,
    every_target,
    every_toy,
    frozen_output,
    gradients,
    rows,
    trap,
)

pytestmark = pytest.mark.usefixtures("_fresh_compiler")


@pytest.fixture
def _fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def compiled(model):
    return torch.compile(model, backend="aot_eager", fullgraph=True)


@trap(16)
@every_pair
def test_patch_then_compile(case, target):
    found, expected = case.patched(target), case.stock(TARGETS[target])
    assert_same(frozen_output(compiled(found), case.inputs()), frozen_output(expected, case.inputs()))
    assert_same(gradients(compiled(found), case.inputs()), renamed(gradients(expected, case.inputs())))


def renamed(values):
    return {f"_orig_mod.{name}": value for name, value in values.items()}


@every_toy
@every_target
def test_compile_then_patch_then_revert(case, target):
    model, expected = case.stock(), case.stock(TARGETS[target])
    stock = frozen_output(model, case.inputs())
    quick = compiled(model)
    assert_same(frozen_output(quick, case.inputs()), stock)
    patch = patch_model(model, target)
    assert_same(frozen_output(quick, case.inputs()), frozen_output(expected, case.inputs()))
    patch.revert()
    assert_same(frozen_output(quick, case.inputs()), stock)


def test_compile_then_patch_then_revert_of_a_whole_model():
    case = PRETRAINED["BERT"]
    model = case.stock()
    stock = frozen_output(model, case.inputs())
    quick = compiled(model)
    frozen_output(quick, case.inputs())
    with patch_model(model, "relu"):
        assert_same(frozen_output(quick, case.inputs()), frozen_output(case.stock("relu"), case.inputs()))
    assert_same(frozen_output(quick, case.inputs()), stock)


@every_toy
@every_target
def test_a_module_compiled_in_place_follows_patch_and_revert(case, target):
    model = case.stock()
    stock = frozen_output(model, case.inputs())
    for layer in model.layers:
        layer.compile(backend="aot_eager", fullgraph=True)
    assert_same(frozen_output(model, case.inputs()), stock)
    patch = patch_model(model, target)
    assert_same(frozen_output(model, case.inputs()), frozen_output(case.stock(TARGETS[target]), case.inputs()))
    patch.revert()
    assert_same(frozen_output(model, case.inputs()), stock)


@every_toy
def test_the_compiled_wrapper_itself_may_be_patched(case):
    """The sites are found inside of it, under its names."""
    quick = compiled(case.stock())
    stock = frozen_output(quick, case.inputs())
    patch = patch_model(quick, "relu", where="layers.*")
    assert len(patch) == case.n_sites
    assert patch.replaced[0].site.startswith("_orig_mod.")
    assert_same(frozen_output(quick, case.inputs()), frozen_output(case.stock("relu"), case.inputs()))
    patch.revert()
    assert_same(frozen_output(quick, case.inputs()), stock)


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")  # inductor's own
@pytest.mark.slow
def test_inductor():
    case = TOYS["formula"]
    quick = torch.compile(case.patched("relu"), fullgraph=True)
    assert_same(frozen_output(quick, case.inputs()), frozen_output(case.stock("relu"), case.inputs()))


@pytest.mark.filterwarnings("ignore:While compiling, we found certain side effects:UserWarning")  # of Transformers
@trap(33)
@every_pair
@pytest.mark.parametrize("strict", [False, True])
def test_export_saved_and_loaded(case, target, strict):
    found = case.patched(target)
    program = torch.export.export(found, (), case.inputs(), strict=strict)
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    assert_same(frozen_output(loaded, case.inputs()), frozen_output(case.stock(TARGETS[target]), case.inputs()))
    called = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    ran = "aten.gelu.default" if target == "gelu_fused" else "aten.relu.default"
    assert called.count(ran) == case.n_sites
    assert not [name for name in called if "erf" in name or ("gelu" in name and name != ran)]


@trap(28, 4)
@every_toy
@every_target
def test_fx_graphs_hold_plain_operators(case, target):
    """They have names, can be compiled again, and pickle."""
    found, expected = case.patched(target), frozen_output(case.stock(TARGETS[target]), case.inputs())
    graph = make_fx(found)(rows()["x"])
    graph.recompile()
    assert_same(graph(rows()["x"]), expected)
    for node in graph.graph.nodes:
        assert node.op != "call_function" or isinstance(node.target, torch._ops.OpOverload)
    if find_sites(found)[0].form == "module":
        assert_same(torch.fx.symbolic_trace(found)(rows()["x"]), expected)
    else:
        with pytest.raises(NameError, match="not installed as a submodule"):  # fx knows no module in an attribute
            torch.fx.symbolic_trace(found)
