"""The step functions that stand for GELU's derivative: as good as declared, as good as they can be."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from gelu_patch.activations import activations
from gelu_patch.activations.fewbit import STEPS, with_steps
from gelu_patch.activations.fewbit_table import TABLES

X = np.linspace(-40.0, 40.0, 800_001)
WEIGHT = norm.pdf(X) / norm.pdf(X).sum()
TRUTH = activations.get("gelu").derivative(X)
every_step = pytest.mark.parametrize("name", STEPS)


def rms(found):
    return float(np.sqrt((WEIGHT * (found - TRUTH) ** 2).sum()))


@every_step
def test_the_declared_error_is_the_measured_one(name):
    declared = activations.get(name).approximates
    found = STEPS[name](X)
    assert declared.of == "gelu"
    assert declared.rms * 0.95 <= rms(found) <= declared.rms
    assert declared.largest * 0.95 <= np.abs(found - TRUTH).max() <= declared.largest


@every_step
def test_it_has_as_many_levels_as_its_bits_tell_apart(name):
    steps = STEPS[name]
    assert len(steps.levels) == 2**steps.bits == len(set(steps.codes))
    assert len(steps.codes) == len(steps.boundaries) + 1
    assert list(steps.boundaries) == sorted(steps.boundaries)
    numbers = np.array([*steps.boundaries, *steps.levels])
    assert np.array_equal(numbers.astype(np.float32).astype(np.float64), numbers)


@every_step
def test_no_small_change_of_a_level_or_a_boundary_is_better(name):
    steps = STEPS[name]
    best = rms(steps(X))
    for numbers, field in ((steps.levels, "levels"), (steps.boundaries, "boundaries")):
        for index in range(len(numbers)):
            for change in (-0.01, 0.01):
                other = list(numbers)
                other[index] += change
                moved = type(steps)(**{**vars(steps), field: tuple(other)})
                assert rms(moved(X)) > best - 1e-9, (field, index)


def test_more_bits_are_better():
    by_bits = {steps.bits: rms(steps(X)) for steps in STEPS.values()}
    assert by_bits[4] < by_bits[3] < by_bits[2]


@pytest.mark.parametrize(
    ("bits", "name", "aliases"),
    [(4, "gelu_fewbit", ("gelu_fewbit4",)), (3, "gelu_fewbit3", ()), (2, "gelu_fewbit2", ())],
)
def test_what_is_registered(bits, name, aliases):
    found = with_steps(STEPS[name])
    assert found == activations.get(name)
    assert found.name == name
    assert found.is_gelu
    assert found.formula is activations.get("gelu").formula
    assert found.derivative is STEPS[name]
    assert f"{2**bits} levels, {bits} bits" in found.summary
    assert found.source.startswith("arXiv:2202.00441")
    assert "dropout" in found.use
    assert found.approximates.rms < found.approximates.largest
    assert activations.aliases_of(name) == aliases


def test_the_table_is_what_the_tool_writes(capsys):
    path = Path(__file__).parents[2] / "tools" / "fit_fewbit_levels.py"
    spec = importlib.util.spec_from_file_location("fit_fewbit_levels", path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    tool.main()
    written = {}
    exec(capsys.readouterr().out, written)
    for bits, parts in written["TABLES"].items():
        for found, expected in zip(parts, TABLES[bits], strict=True):
            assert np.allclose(found, expected, rtol=0, atol=1e-6)
