"""The product of a Linear with a gradient: forward and toward x by the faster library."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from gelu_patch.blocks import libraries
from gelu_patch.blocks.product import Product
from gelu_patch.kernels import recompute
from gelu_patch.kernels.autograd import Elementwise
from gelu_patch.kernels.plain import plain
from gelu_patch.kernels.sums import Sums


def differentiable(product: Product, kernel: Elementwise | None = None, *, is_kept: bool = True) -> torch.Tensor:
    """Return the product as a part of the graph, which keeps the very tensors that PyTorch's modules keep.

    So gradient checkpointing can compare what a patched forward keeps with what one before the patch has kept.
    ``kernel`` is that of the activation that follows: it computes the gradient of the bias beside its own when it can.
    Unless it ``is_kept``, whoever saves the result for backward gets it multiplied again.
    """
    x, weight, bias, transposed, _ = product.as_autocast_has_it()
    rows, matrix = x.reshape(-1, x.shape[-1]), weight if transposed else weight.t()
    wants_sums = bias is not None and bias.requires_grad
    sums = Sums() if wants_sums and kernel is not None and kernel.slope_with_sums is not None else None
    out: torch.Tensor = _Linear.apply(rows, matrix, bias, sums)  # type: ignore[no-untyped-call]
    out = out.view(*x.shape[:-1], matrix.shape[1])
    if not is_kept:
        recompute.note(out, partial(_again, matrix=matrix.detach(), bias=bias), x)
    if sums is not None:
        sums.request(out)
    return out


def _again(x: torch.Tensor, matrix: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """The product as ``_Linear`` had it, to the last bit."""
    rows = x.reshape(-1, x.shape[-1])
    product = libraries.compute(_product(rows, matrix, bias, matrix.is_contiguous()))
    return product.view(*x.shape[:-1], matrix.shape[1])


class _Linear(torch.autograd.Function):
    """``rows @ matrix + bias``: rows of shape (n, in features), matrix (in features, out features)."""

    @staticmethod
    def forward(
        ctx: Any, rows: torch.Tensor, matrix: torch.Tensor, bias: torch.Tensor | None, sums: Sums | None
    ) -> torch.Tensor:
        rows_wanted, matrix_wanted, *_ = ctx.needs_input_grad
        ctx.save_for_backward(rows if matrix_wanted else None, matrix if rows_wanted else None)
        ctx.transposed = matrix.is_contiguous()
        ctx.sums = sums
        return libraries.compute(_product(rows, matrix, bias, ctx.transposed))

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        rows, matrix = ctx.saved_tensors
        rows_wanted, matrix_wanted, bias_wanted, _ = ctx.needs_input_grad
        by_rows = by_matrix = by_bias = None
        if bias_wanted:
            by_bias = ctx.sums.take(grad) if ctx.sums is not None and not torch.is_grad_enabled() else None
            by_bias = grad.sum(0) if by_bias is None else by_bias
        if rows_wanted:
            by_rows = _toward_rows(grad, matrix)
        if matrix_wanted:  # in the memory order of the weight, which the optimizer wants
            by_matrix = rows.t() @ grad if ctx.transposed else (grad.t() @ rows).t()
        return by_rows, by_matrix, by_bias, None


def _toward_rows(grad: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    if torch.is_grad_enabled() or not plain(grad, matrix):  # a second derivative, many gradients at once, or a GPU
        return grad @ matrix.t()
    return libraries.compute(_product(grad, matrix.t(), None, not matrix.is_contiguous()))


def _product(rows: torch.Tensor, matrix: torch.Tensor, bias: torch.Tensor | None, transposed: bool) -> Product:
    """``rows @ matrix + bias`` with the weight in its own memory order, and whether that is (in, out)."""
    return Product(rows, matrix if transposed else matrix.t(), bias, transposed)
