"""A value and a gradient have the same bits in whichever program computes them: shown by their formulas in PTX.

So what backward computes again is what forward has computed, to the last bit, and gradients are the same in all memory
modes. Triton's interpreter cannot show this: it fuses what the source says, a compiler also fuses what it finds.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gelu_patch.kernels.triton.kernel import ACTIVATIONS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed"),
]


@pytest.fixture(scope="module")
def found():
    """What ``ptx.py`` reads, in a process whose triton does not interpret."""
    root = Path(__file__).parents[3]
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.kernels.triton.ptx"],
        cwd=root, env=environment | {"PYTHONPATH": str(root)}, capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def formulas(found, form, dtype, tensors):
    return {
        (row["capability"], row["program"], row["again"]): row["stored"][tensors[row["program"]]]
        for row in found
        if (row["form"], row["dtype"]) == (form, dtype) and tensors.get(row["program"]) in row["stored"]
    }


@pytest.mark.parametrize("form", ACTIVATIONS)
@pytest.mark.parametrize("dtype", ["bf16", "fp16", "fp32"])
@pytest.mark.parametrize(
    ("tensors", "programs"),
    [
        ({"forward": "out", "backward_with_sums": "again"}, 2),
        ({"backward": "out", "backward_with_sums": "out"}, 3),
    ],
    ids=["value", "gradient"],
)
def test_one_formula_in_all_programs_and_on_all_architectures(found, form, dtype, tensors, programs):
    formula_of = formulas(found, form, dtype, tensors)
    assert len(formula_of) == programs * len({row["capability"] for row in found})
    assert len({tuple(each) for each in formula_of.values()}) == 1, formula_of
    assert all(len(each) == 1 for each in formula_of.values()), "one for all elements of a vector"


def test_no_sum_is_left_to_a_later_stage(found):
    assert not [row for row in found if row["left_to_fuse"]]


def test_forms_and_dtypes_have_formulas_of_their_own(found):
    """The reader tells apart what differs."""
    (one,) = {
        tuple(row["stored"]["out"])
        for row in found
        if (row["form"], row["dtype"], row["program"]) == ("gelu", "bf16", "forward")
    }
    for form, dtype in (("gelu_tanh", "bf16"), ("gelu", "fp32")):
        assert one not in {tuple(row["stored"]["out"]) for row in found if (row["form"], row["dtype"]) == (form, dtype)}
