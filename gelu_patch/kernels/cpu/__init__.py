"""The compiled CPU kernels: C sources, the loader, and the kernel that they make."""

from gelu_patch.kernels.cpu import kernel  # importing the module registers the kernel

__all__ = ["kernel"]
