"""Another function in the place of a kernel."""

from __future__ import annotations


def mutant(function: str) -> str:
    """Code that puts ``function`` in the place of GELU's, whichever kernel serves it."""
    return (
        "import gelu_patch.kernels.eager as m, dataclasses as d;"
        f"mutant = {function}; m._OPS['gelu'] = d.replace(m._OPS['gelu'], function=mutant);"
        "import gelu_patch.kernels.cpu.kernel as c; c._function = lambda name, found: mutant"
    )
