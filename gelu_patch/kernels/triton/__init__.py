"""The Triton kernels for NVIDIA GPUs. Triton itself is imported when the first CUDA tensor arrives."""

from gelu_patch.kernels.triton import kernel  # importing the module registers the kernel

__all__ = ["kernel"]
