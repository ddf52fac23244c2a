"""The trap tests can fail: their comparison kills four mutants in every case, and no trap is forgotten."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path

import pytest
import torch.nn.functional as F

from gelu_patch.kernels import eager
from gelu_patch.patching import current_plan
from tests.traps.helpers import COVERED, N_TRAPS, TARGETS, assert_same, every_case, frozen_output, gradients

MUTANTS = {
    "ReLU": F.relu,
    "identity": lambda x: 1.0 * x,
    "double GELU": lambda x: F.gelu(F.gelu(x)),
    "quick GELU": lambda x: x * (1.702 * x).sigmoid(),
}


def test_every_trap_has_a_test():
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        module = importlib.import_module(f"{__package__}.{path.stem}")
        for names in COVERED.values():
            for name in names:
                home, _, test = name.rpartition(".")
                assert home != module.__name__ or (test.startswith("test_") and hasattr(module, test)), name
    assert set(COVERED) == set(range(1, N_TRAPS + 1))


@every_case
@pytest.mark.parametrize("target", TARGETS)
def test_a_patched_model_equals_one_that_was_built_so(case, target):
    model, reference = case.patched(target), case.stock(TARGETS[target])
    assert len(current_plan(model).changes) == case.n_sites
    assert_same(frozen_output(model, case.inputs()), frozen_output(reference, case.inputs()))
    assert_same(gradients(model, case.inputs()), gradients(reference, case.inputs()))


@every_case
@pytest.mark.usefixtures("eager_only")
@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_comparison_kills_mutants(case, mutant, monkeypatch):
    for name in ("gelu", "gelu_tanh"):
        wrong = dataclasses.replace(eager._OPS[name], function=MUTANTS[mutant])
        monkeypatch.setitem(eager._OPS, name, wrong)
    model, reference = case.patched("gelu_fused"), case.stock()
    with pytest.raises(AssertionError, match="output differs by"):
        assert_same(frozen_output(model, case.inputs()), frozen_output(reference, case.inputs()))
    with pytest.raises(AssertionError, match="differs by"):
        assert_same(gradients(model, case.inputs()), gradients(reference, case.inputs()))


@every_case
def test_two_targets_are_far_apart(case):
    with pytest.raises(AssertionError, match="output differs by"):
        assert_same(
            frozen_output(case.stock("relu"), case.inputs()), frozen_output(case.stock(), case.inputs()), tolerance=1e-2
        )
