"""The machine code, compiled here for GPUs that are not here: vector accesses, no spills, instructions per element."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gelu_patch.kernels.triton.devices import ARCHITECTURES
from gelu_patch.kernels.triton.kernel import ACTIVATIONS

ROOT = Path(__file__).parents[3]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed"),
]

# What may be computed while memory is busy: issue slots per element at 4.3 TB/s (132 SMs with four schedulers of 32
# threads at 1.98 GHz) for 4, 6, 6, 10 and 8 bytes of bfloat16.
MEMORY_BOUND = {"forward": 31, "backward": 47, "gated_forward": 47, "gated_backward": 78, "backward_with_sums": 62}
# Counted for sm_90; without fused multiply-adds it is a tenth to a fifth more.
COUNTED = {
    ("forward", "gelu"): 19.2, ("forward", "gelu_tanh"): 12.1, ("forward", "gelu_quick"): 10.0,
    ("backward", "gelu"): 23.5, ("backward", "gelu_tanh"): 20.2, ("backward", "gelu_quick"): 17.0,
}  # fmt: skip
REAL = ((8, 0), (9, 0), (10, 0))  # whose machine code is looked at; the others must compile


@pytest.fixture(scope="module")
def found():
    """What ``machine_code.py`` counts, in a process whose triton does not interpret."""
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "tests.kernels.triton.machine_code"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {(*row["architecture"], row["dtype"], row["form"], row["program"]): row for row in rows}


def test_every_architecture_that_is_served_was_compiled_for(found):
    assert {key[:2] for key in found} == set(ARCHITECTURES)
    assert len(found) >= len(REAL) * len(ACTIVATIONS) * 2 * len(MEMORY_BOUND)


@pytest.mark.parametrize("architecture", REAL, ids=str)
def test_memory_is_accessed_in_16_bytes_and_registers_suffice(found, architecture):
    for key, row in found.items():
        if key[:2] == architecture:
            names = list(row["instructions"])
            assert not [name for name in names if name.startswith(("STL", "LDL"))], key  # spills
            moves = [name for name in names if name.startswith(("LDG", "STG"))]
            assert moves, key
            if row["program"] != "backward_with_sums":  # its sums are stored in fewer bytes
                assert all(".128" in name for name in moves), (key, moves)


@pytest.mark.parametrize("architecture", REAL, ids=str)
def test_bfloat16_is_bound_by_memory(found, architecture):
    for (*where, dtype, form, program), row in found.items():
        if tuple(where) == architecture and dtype == "bf16":
            assert row["per_element"] <= MEMORY_BOUND[program], (form, program, row["per_element"])


@pytest.mark.parametrize(("program", "form"), COUNTED)
def test_multiplies_and_adds_are_fused(found, program, form):
    assert found[9, 0, "bf16", form, program]["per_element"] <= 1.08 * COUNTED[program, form]


@pytest.mark.parametrize("form", ACTIVATIONS)
def test_an_element_takes_two_approximate_instructions(found, form):
    instructions = found[9, 0, "bf16", form, "forward"]["instructions"]
    special = {name: count for name, count in instructions.items() if name.startswith("MUFU")}
    assert special == {"MUFU.EX2": 8, "MUFU.RCP": 8}
