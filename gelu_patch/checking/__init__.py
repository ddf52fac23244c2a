"""Is it right? The accuracy certificate: every kernel against float64 truth, beside PyTorch's own ops."""

from gelu_patch.checking.kernel import check_kernel, check_kernels
from gelu_patch.checking.results import KernelCheck

__all__ = ["KernelCheck", "check_kernel", "check_kernels"]
