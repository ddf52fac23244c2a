"""The matrix product of a Linear, by PyTorch or by oneDNN."""

from __future__ import annotations

from typing import Literal, NamedTuple, cast

import torch
from torch import nn
from torch.nn import functional as F

from gelu_patch.blocks.packed import PackedWeight
from gelu_patch.kernels.recompute import cast_once

Library = Literal["torch", "onednn"]


class Product(NamedTuple):
    """``x @ weight.T + bias``: x of shape (..., in features), weight seen as (out features, in features)."""

    x: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor | None = None
    transposed: bool = False  # Conv1D keeps its weight as (in, out)
    packed: PackedWeight | None = None  # where a packed weight may be kept

    @property
    def rows(self) -> int:
        """How many rows x has as a matrix."""
        return self.x.numel() // self.x.shape[-1]

    def as_autocast_has_it(self) -> Product:
        """Return the same product in the dtype that autocast gives it here, with differentiable casts; or itself."""
        device = self.x.device.type
        if not torch.is_autocast_enabled(device):
            return self
        dtype = torch.get_autocast_dtype(device)
        bias = None if self.bias is None else cast_once(self.bias, dtype)
        return self._replace(x=self.x.to(dtype), weight=cast_once(self.weight, dtype), bias=bias)

    def by(self, library: Library) -> torch.Tensor:
        """Return the product, in new memory. To be called without gradients: nothing is kept for a backward."""
        if library == "onednn":
            weight = self.packed.of(self.weight, self.transposed, self.rows) if self.packed is not None else None
            if weight is None:
                weight = self.weight.t() if self.transposed else self.weight
            product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(self.x, weight, self.bias, "none", [], "")
            return product
        if not self.transposed:
            return F.linear(self.x, self.weight, self.bias)
        # As Conv1D has it; the result is a view of memory that nobody else has.
        flat = self.x.reshape(-1, self.x.shape[-1])
        result = torch.mm(flat, self.weight) if self.bias is None else torch.addmm(self.bias, flat, self.weight)
        return result.view(*self.x.shape[:-1], self.weight.shape[1])


def product_of(linear: nn.Module, x: torch.Tensor, packed: PackedWeight | None = None) -> Product:
    """Return the product that a plain ``nn.Linear`` or ``Conv1D`` computes for x of shape (..., in features)."""
    # In the dictionary itself: an attribute of a module is looked up several times as long.
    parameters = cast("dict[str, torch.Tensor | None]", linear._parameters)
    weight, bias = parameters.get("weight"), parameters.get("bias")
    if weight is None:  # a plain attribute, as FSDP's views are
        weight, bias = cast(torch.Tensor, linear.weight), cast("torch.Tensor | None", linear.bias)
    return Product(x, weight, bias, type(linear) is not nn.Linear, packed)
