"""Is it right? The accuracy certificate: every kernel against float64 truth, beside PyTorch's own ops."""

from gelu_patch.checking.kernel import check_kernel, check_kernels
from gelu_patch.checking.model import PatchCheck, check_patch
from gelu_patch.checking.results import KernelCheck

__all__ = ["KernelCheck", "PatchCheck", "check_kernel", "check_kernels", "check_patch"]
