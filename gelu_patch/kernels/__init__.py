"""WHO computes an activation: kernels and the choice between them.

Adding a kernel is one file with one ``register_kernel`` call, imported below.
"""

from gelu_patch.kernels import (
    cpu,
    cublaslt,
    eager,
    fewbit,
    recompute,
    triton,
)  # importing a module registers its kernels
from gelu_patch.kernels.base import Accepted, Bound, Kernel, Rejected, Request, kernels, register_kernel
from gelu_patch.kernels.module import KernelActivation
from gelu_patch.kernels.select import Selection, ask, best_function, select

__all__ = [
    "Accepted",
    "Bound",
    "Kernel",
    "KernelActivation",
    "Rejected",
    "Request",
    "Selection",
    "ask",
    "best_function",
    "cpu",
    "cublaslt",
    "eager",
    "fewbit",
    "kernels",
    "recompute",
    "register_kernel",
    "select",
    "triton",
]
