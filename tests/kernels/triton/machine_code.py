"""Compile the Triton programs for GPUs that need not be here and count instructions: a line of JSON for each.

``python -m tests.kernels.triton.machine_code``, without TRITON_INTERPRET.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import triton
from triton.backends import nvidia
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from gelu_patch.kernels.triton import launches, programs
from gelu_patch.kernels.triton.devices import ARCHITECTURES
from gelu_patch.kernels.triton.kernel import ACTIVATIONS

DTYPES = {"bf16": False, "fp16": False, "fp32": True}  # and whether they are wide
IN_DEPTH = ((8, 0), (10, 0), (9, 0))  # the last in all dtypes
DISASSEMBLER = Path(nvidia.__file__).parent / "bin" / "nvdisasm"
INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z0-9_.]+)", re.MULTILINE)
THREADS = 32 * launches.WARPS

TENSORS = {
    "forward": ("out", "x", "bias"),
    "backward": ("out", "x", "grad"),
    "gated_forward": ("out", "gate", "other"),
    "gated_backward": ("by_gate", "by_other", "gate", "other", "grad"),
    "backward_with_sums": ("out", "again", "x", "bias", "grad"),
}
SUMS: dict[str, Any] = {"STEP": launches.STEP, "ROWS": launches.ROWS, "COLUMNS": launches.COLUMNS}


def compiled(program: str, form: str, dtype: str, capability: int, *, ragged: bool = False, again: bool = True) -> Any:
    """``ragged``: sizes and addresses that 16 does not divide, and a bias."""
    function = getattr(programs, program)
    constants: dict[str, Any] = {"FORM": form, "WIDE": DTYPES[dtype], "NATIVE": True, "EVEN": not ragged}
    types = dict.fromkeys(TENSORS[program], f"*{dtype}")
    if program == "backward_with_sums":
        constants |= SUMS | {"AGAIN": again}
        types |= {"sums": "*fp32", "rows": "i32", "columns": "i32"}
    else:
        constants["BLOCK"] = launches.BLOCK
        types["n"] = "i32"
    if program in ("forward", "backward_with_sums"):
        constants["BIAS"] = ragged
        types["columns"] = "i32"
    names = function.arg_names
    source = ASTSource(
        function,
        signature={name: types.get(name, "constexpr") for name in names},
        constexprs={(names.index(name),): value for name, value in constants.items()},
        attrs={} if ragged else {(i,): [["tt.divisibility", 16]] for i, name in enumerate(names) if name in types},
    )
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=launches.OPTIONS)


def instructions_of(kernel: Any) -> Counter[str]:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(kernel.asm["cubin"])
        file.flush()
        done = subprocess.run([DISASSEMBLER, "-c", "-ndf", file.name], capture_output=True, text=True, check=True)
    found = Counter(INSTRUCTION.findall(done.stdout))
    del found["NOP"]
    return found


def cases() -> Iterator[tuple[tuple[int, int], str, str, str]]:
    """Architecture, program, dtype and form of each kernel that is looked at."""
    for architecture in ARCHITECTURES:
        in_depth = architecture in IN_DEPTH
        for program in TENSORS if in_depth else ("forward",):
            for dtype in DTYPES if architecture == IN_DEPTH[-1] else ("bf16", "fp32") if in_depth else ("bf16",):
                for form in ACTIVATIONS if in_depth else ("gelu",):
                    yield architecture, program, dtype, form


def main() -> None:
    for program in TENSORS:
        compiled(program, "gelu", "bf16", 90, ragged=True)
    with ThreadPoolExecutor() as pool:  # the disassembler takes as long as the compiler
        tasks = {
            (architecture, program, dtype, form): pool.submit(
                instructions_of, compiled(program, form, dtype, 10 * architecture[0] + architecture[1])
            )
            for architecture, program, dtype, form in cases()
        }
    for (architecture, program, dtype, form), task in tasks.items():
        found = task.result()
        row = {
            "architecture": architecture,
            "program": program,
            "dtype": dtype,
            "form": form,
            "per_element": round(found.total() / (launches.BLOCK / THREADS), 1),
            "instructions": found,
        }
        print(json.dumps(row))


if __name__ == "__main__":
    main()
