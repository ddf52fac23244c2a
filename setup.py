"""Builds the optional C kernels; everything else is in pyproject.toml.

The extension needs neither torch nor a particular Python (stable ABI). Where it cannot be built, installing goes on
without it: the package then computes with PyTorch's ops and says so.
"""

import hashlib
import sys
from pathlib import Path

from setuptools import Extension, setup

SOURCE = Path("gelu_patch", "kernels", "cpu", "source")
# No contraction: each rounding is where the source has it, so that results do not depend on the compiler's choice.
# Scheduling before register allocation interleaves the two vectors of a step, whose chains are long; the pass after it
# undoes a part of that (2 % of the time of erf and tanh).
FLAGS = (
    "-O3 -std=gnu11 -fno-math-errno -fno-trapping-math -ffp-contract=off -fschedule-insns -fno-schedule-insns2 "
    "-fvisibility=hidden -g0 -Wall -Wextra"
)


def digest() -> str:
    """Of all C files; gelu_patch/kernels/cpu/library.py compares it."""
    files = sorted(SOURCE.glob("*.[ch]"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


native = Extension(
    "gelu_patch.kernels.cpu._native",
    sources=[path.as_posix() for path in sorted(SOURCE.glob("*.c"))],
    depends=[path.as_posix() for path in sorted(SOURCE.glob("*.h"))],
    define_macros=[("Py_LIMITED_API", "0x030B0000"), ("GELU_PATCH_SOURCES", f'"{digest()}"')],
    extra_compile_args=FLAGS.split(),
    py_limited_api=True,
    optional=True,
)

setup(
    # MSVC has neither these flags nor generic vectors.
    ext_modules=[] if sys.platform == "win32" else [native],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
