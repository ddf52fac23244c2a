"""Loading the compiled extension: only one that was built from these sources and computes right is used.

``GELU_PATCH_CPU`` forces a lower level ("avx512", "avx2", "portable") or turns the extension "off"; it is read
when this module is imported.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

import torch

from gelu_patch.environment import CPU_LEVEL_VARIABLE, DISTRIBUTION

VARIABLE = CPU_LEVEL_VARIABLE
EXTENSION = "gelu_patch.kernels.cpu._native"
SOURCES = Path(__file__).parent / "source"
# Without --no-cache-dir pip takes the wheel that it built, and kept, when there was no compiler.
INSTALL_AGAIN = (
    "with a C compiler at hand (gcc or clang): pip install --no-deps --editable . in a checkout, elsewhere "
    f"pip install --no-deps --no-cache-dir --force-reinstall --no-binary {DISTRIBUTION} {DISTRIBUTION}"
)

# The enumerations of source/kernels.h, in their order.
ACTIVATIONS = ("gelu", "gelu_tanh", "gelu_quick", "silu", "relu2")
ELEMENTS = (torch.float32, torch.bfloat16, torch.float16)
VALUE, SLOPE = 0, 1

# Of a loaded library: gelu(1), gelu_tanh(1), silu(1) in float32, from the float64 formulas.
_SAMPLES = {"gelu": 0.8413447461, "gelu_tanh": 0.8411919906, "silu": 0.7310585786}


@dataclass(frozen=True)
class Library:
    """A usable extension at one level."""

    native: ModuleType
    level: str
    number: int
    threads: str  # why one thread only; empty when torch's pool is used

    def run(
        self,
        activation: str,
        dtype: torch.dtype,
        direction: int,
        out: torch.Tensor,
        x: torch.Tensor,
        grad: torch.Tensor | None = None,
    ) -> None:
        """Fill the storage of ``out`` from ``x`` (and ``grad``): dense tensors of equal strides, no checks."""
        self.native.run(
            self.number,
            ACTIVATIONS.index(activation),
            ELEMENTS.index(dtype),
            direction,
            out.data_ptr(),
            x.data_ptr(),
            0 if grad is None else grad.data_ptr(),
            x.numel(),
            torch.get_num_threads(),
        )


@dataclass(frozen=True)
class Unavailable:
    """Why there is no library, and what to type to have one."""

    reason: str
    next_step: str = INSTALL_AGAIN


@cache
def library() -> Library | Unavailable:
    """Load once; whatever goes wrong is a reason, never an exception."""
    return load(os.environ.get(VARIABLE, ""))


def load(wanted: str = "", extension: str = EXTENSION) -> Library | Unavailable:
    """Load ``extension`` at the level ``wanted``, or at the fastest of this processor."""
    if wanted == "off":
        return Unavailable(f"turned off by {VARIABLE}=off", f"unset {VARIABLE}")
    try:
        native = importlib.import_module(extension)
    except ModuleNotFoundError:
        return Unavailable("the C extension was not built")
    except Exception as error:  # whatever a foreign file raises
        return Unavailable(f"the C extension cannot be loaded: {error}")
    return _checked(native, wanted)


def _checked(native: ModuleType, wanted: str) -> Library | Unavailable:
    if not all(hasattr(native, name) for name in ("SOURCES", "levels", "run", "use_openmp")):
        return Unavailable("the file in the place of the C extension is not this package's")
    present = sources_digest()
    if present and present != native.SOURCES:
        return Unavailable("the C extension was built from other sources")
    levels: dict[str, int] = native.levels()
    level = wanted or next(iter(levels))
    if level not in levels:
        return Unavailable(f"{VARIABLE}={wanted}: this processor has {', '.join(levels)}", f"unset {VARIABLE}")
    found = Library(native, level, levels[level], _share_threads(native))
    for activation, expected in _SAMPLES.items():
        one = torch.ones(1, dtype=torch.float32, device="cpu")  # whatever the defaults are
        found.run(activation, torch.float32, VALUE, one, one)
        if not abs(one.item() - expected) < 1e-6:
            return Unavailable(f"the C extension computes {activation}(1) = {one.item()}, not {expected}")
    return found


def sources_digest() -> str:
    """The digest that setup.py compiled in, of the sources beside this file; empty where only the library is."""
    files = sorted(SOURCES.glob("*.[ch]"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16] if files else ""


def _share_threads(native: ModuleType) -> str:
    """Hand over the OpenMP runtime that torch runs on, so that one pool serves both. Returns why not."""
    candidates = [str(path) for path in sorted((Path(torch.__file__).parent / "lib").glob("lib*omp*"))]
    for name in [*candidates, "libgomp.so.1"]:
        try:
            # RTLD_NOLOAD: a runtime that nothing has loaded is not torch's.
            runtime = ctypes.CDLL(name, mode=os.RTLD_NOW | getattr(os, "RTLD_NOLOAD", 0))
            entries = [getattr(runtime, e) for e in ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")]
        except (OSError, AttributeError):
            continue
        native.use_openmp(*(ctypes.cast(entry, ctypes.c_void_p).value for entry in entries))
        return ""
    return "torch's OpenMP runtime was not found, so one thread is used"
