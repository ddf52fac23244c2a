"""Weights with which activations are of order one.

Models start with weights of 0.02 and biases of 0: their outputs hardly depend on an activation, and every
comparison passes. Here each matrix keeps the size of what it is given, so that a wrong activation shows.
"""

from __future__ import annotations

import math

import torch
from torch import nn

NOISE = 0.1
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@torch.no_grad()
def order_one(model: nn.Module, seed: int) -> None:
    """Fill every floating parameter of ``model`` from ``seed``."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.is_floating_point() and parameter.device.type != "meta":
                _fill(module, name, parameter, generator)


def _fill(module: nn.Module, name: str, parameter: nn.Parameter, generator: torch.Generator) -> None:
    noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float32).to(parameter.dtype)
    if parameter.numel() and not _is_vector(module, parameter):
        parameter.copy_(noise * _size(module, parameter))
        return
    # Vectors: biases stay near 0, the weights of norms near 1, decay rates near what the model needs.
    start = parameter.float()
    if parameter.numel() == 0 or not torch.isfinite(start).all():
        start = torch.zeros_like(start)
    # A layer scale of 1e-5 would switch its whole branch off.
    scales = any(word in name for word in ("gamma", "scale", "lambda")) and start.abs().max() < NOISE
    parameter.copy_((torch.ones_like(start) if scales else start) + NOISE * noise)


def _is_vector(module: nn.Module, parameter: nn.Parameter) -> bool:
    """Tell whether a parameter is added or multiplied, such as the (channels, 1) log scale of a flow."""
    if isinstance(module, (nn.Linear, nn.Embedding, nn.modules.conv._ConvNd)):
        return parameter.ndim < 2
    return parameter.numel() == max(parameter.shape, default=1)


def _size(module: nn.Module, parameter: nn.Parameter) -> float:
    shape = parameter.shape
    if isinstance(module, nn.Embedding):
        return 1.0
    if isinstance(module, _TRANSPOSED) or type(module).__name__ == "Conv1D":
        return 1 / math.sqrt(shape[0])
    if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return 1 / math.sqrt(parameter[0].numel())
    # Packed experts and position tables: either side may be the input.
    return 1 / math.sqrt(math.sqrt(shape[-1] * shape[-2]))
