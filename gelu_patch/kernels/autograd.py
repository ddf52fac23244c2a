"""The one home of derivatives: how a compiled elementwise kernel meets autograd and everything around it.

Served by the kernel: plain, dense or strided, tensors of its device in eager mode, of every size (so that a slice has
the bits of the whole), with first derivatives by the kernel's own backward, which keeps the input and nothing else; and
as an operator of PyTorch (``operator.py``) under `torch.compile`, where that is faster than what the compiler makes of
the ATen form. Tensors of another device are served by the best kernel there. Served by the ATen form, on every call
anew: whatever PyTorch must see as its own operator. That is `torch.export` (other programs and exporters to ONNX know
it), tracing, vmap and the other transforms of `torch.func`, forward-mode derivatives, dispatch modes (fake, functional,
counting), tensor subclasses, other dtypes and layouts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from gelu_patch.kernels import operator
from gelu_patch.kernels.base import Function
from gelu_patch.kernels.plain import CPU_KEYS, PLAIN_TYPES, is_transformed, plain
from gelu_patch.kernels.select import best_function
from gelu_patch.kernels.sums import Sums

Launch = Callable[..., None]


@dataclass(frozen=True, repr=False)
class Gated:
    """Launches of f(gate) * other: ``value(out, gate, other)``, ``slopes(by_gate, by_other, gate, other, grad)``."""

    value: Launch
    slopes: Launch


@dataclass(frozen=True, repr=False)  # a compiler that looks at functions cannot read the generated one
class Elementwise:
    """The parts of a kernel: two launches over flat storage, and the ATen form of the same mathematics.

    ``value(out, x)`` fills out with f(x), ``slope(out, x, grad)`` with grad * f'(x). All their tensors are dense, of
    one shape, stride, dtype and device; ``out`` may be one of the inputs. ``slope_with_sums``, where there is one,
    also returns the sums of out over all but its last dimension, which a bias before f has for its gradient; its
    tensors are contiguous. ``slope_again_with_sums(out, again, x, grad)`` fills ``again`` with f(x) besides, from the
    same read of x; the bits of all three are those of the launches for each. ``admits`` asks a further question about
    a tensor.
    """

    name: str
    fallback: Function
    value: Callable[[torch.Tensor, torch.Tensor], None]
    slope: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], None]
    dtypes: frozenset[torch.dtype]
    device: str = "cpu"
    keys: frozenset[int] = CPU_KEYS
    is_operator: bool = True  # in compiled code; otherwise the ATen form, from which a compiler makes its own
    casts: bool = False  # whether it may follow a product whose dtype autocast chooses
    admits: Callable[[torch.Tensor], bool] | None = None
    slope_with_sums: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor] | None = None
    slope_again_with_sums: Callable[..., torch.Tensor] | None = None
    gated: Gated | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return f(x), without a graph."""
        return _value(self, x) if served(self, x) else self.fallback(x)

    def backward(self, grad: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return grad * f'(x), without a graph."""
        return _slope(self, grad, x)

    def overwrite(self, dense: torch.Tensor) -> None:
        """Put f(x) in the place of x, without a graph: dense memory that nobody else may see."""
        self.value(dense, dense)

    def __call__(self, input: torch.Tensor) -> torch.Tensor:
        """Apply to a tensor of any shape; the same shape and dtype come out."""
        # Asked first: a compiler must meet nothing of what follows.
        if torch.compiler.is_compiling():
            return operator.call(input, self.name) if _may_be_an_operator(self, input) else self.fallback(input)
        if not served(self, input):
            return self.on(input)(input)
        if input.requires_grad and torch.is_grad_enabled():
            return _Value.apply(input, self)  # type: ignore[no-any-return, no-untyped-call]
        return _value(self, input)

    def on(self, tensor: torch.Tensor) -> Function:
        """Return what serves this activation where the tensor is, when that is elsewhere; here, the ATen form."""
        if not isinstance(tensor, torch.Tensor) or tensor.device.type == self.device or not tensor.is_floating_point():
            return self.fallback
        return best_function(self.name, tensor.device.type, tensor.dtype)


def _may_be_an_operator(kernel: Elementwise, tensor: torch.Tensor) -> bool:
    """What `served` asks, as far as a compiler can look into it."""
    return (
        kernel.is_operator
        and not torch.compiler.is_exporting()
        and type(tensor) in PLAIN_TYPES
        and tensor.device.type == kernel.device
        and tensor.dtype in kernel.dtypes
        and tensor.layout is torch.strided
        and not is_transformed()
    )


def served(kernel: Elementwise, *tensors: torch.Tensor) -> bool:
    """Whether these are ordinary tensors of its dtypes and nobody listens to, transforms or records operators."""
    dtypes = kernel.dtypes
    for tensor in tensors:  # a generator would take as long as all of the questions
        if type(tensor) not in PLAIN_TYPES or tensor.dtype not in dtypes:
            return False
    if not plain(*tensors, allowed=kernel.keys):
        return False
    if kernel.admits is not None:
        first = tensors[0]
        for tensor in tensors:
            if not kernel.admits(tensor) or tensor.device != first.device:
                return False
    return True


def _dense(tensor: torch.Tensor) -> bool:
    """Whether the elements fill their storage without gaps or overlap, in whatever order."""
    return tensor.is_contiguous() or torch.empty_like(tensor).stride() == tensor.stride()


def _alike(tensor: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return ``tensor`` in the memory order of the dense ``other``: itself or a copy."""
    if tensor.stride() == other.stride() or (tensor.is_contiguous() and other.is_contiguous()):
        return tensor
    return torch.empty_like(other).copy_(tensor)


def _value(kernel: Elementwise, x: torch.Tensor) -> torch.Tensor:
    out = torch.empty_like(x)
    if not (x.is_contiguous() or x.stride() == out.stride()):
        x = out.copy_(x)
    kernel.value(out, x)
    return out


def _slope(kernel: Elementwise, grad: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """grad * f'(x), without a graph."""
    if not (served(kernel, grad, x) and grad.dtype == x.dtype and grad.shape == x.shape):
        return by_autograd(kernel.fallback, (x,), grad)[0]
    dense = x if _dense(x) else torch.empty_like(x).copy_(x)
    ordered = _alike(grad, dense)
    out = torch.empty_like(dense) if ordered is grad else ordered  # a copy is ours to overwrite
    kernel.slope(out, dense, ordered)
    return out


def by_autograd(
    compute: Callable[..., torch.Tensor], inputs: Sequence[torch.Tensor], grad: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """Return the gradients of ``compute(*inputs)`` for each input, differentiable themselves when grad mode is on.

    ``grad`` is the gradient of its result, of the same shape; ``compute`` consists of PyTorch's operations.
    """
    differentiable = torch.is_grad_enabled()
    with torch.enable_grad():
        aliases = [_differentiable_alias(each, differentiable) for each in inputs]
        return torch.autograd.grad(compute(*aliases), aliases, grad, create_graph=differentiable)


def _differentiable_alias(x: torch.Tensor, connected: bool) -> torch.Tensor:
    """A tensor to differentiate by: part of x's graph, or cut from it."""
    return x.view_as(x) if connected and x.requires_grad else x.detach().requires_grad_()


def _slope_in_mode(kernel: Elementwise, grad: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """grad * f'(x), with a graph when backward itself is to be differentiated."""
    if not torch.is_grad_enabled():
        return _slope(kernel, grad, x)
    if not served(kernel, grad, x):
        return by_autograd(kernel.fallback, (x,), grad)[0]
    return _Slope.apply(grad, x, kernel)  # type: ignore[no-any-return, no-untyped-call]


class _Value(torch.autograd.Function):
    """f(x), keeping x."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, kernel: Elementwise) -> torch.Tensor:
        ctx.save_for_backward(x)
        ctx.kernel = kernel
        ctx.sums = Sums.requested(x) if kernel.slope_with_sums is not None else None
        return _value(kernel, x)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        (x,) = ctx.saved_tensors
        kernel: Elementwise = ctx.kernel
        if (
            ctx.sums is None
            or kernel.slope_with_sums is None
            or torch.is_grad_enabled()
            or not (served(kernel, grad, x) and grad.dtype == x.dtype and x.is_contiguous() and x.numel())
        ):
            return _slope_in_mode(kernel, grad, x), None
        out = torch.empty_like(x)
        ctx.sums.give(out, kernel.slope_with_sums(out, x, grad.contiguous()))
        return out, None


class _Slope(torch.autograd.Function):
    """grad * f'(x), differentiable itself; the second derivative of f is that of the ATen form."""

    @staticmethod
    def forward(ctx: Any, grad: torch.Tensor, x: torch.Tensor, kernel: Elementwise) -> torch.Tensor:
        ctx.save_for_backward(grad, x)
        ctx.kernel = kernel
        return _slope(kernel, grad, x)

    @staticmethod
    def backward(ctx: Any, outer: torch.Tensor) -> Any:
        grad, x = ctx.saved_tensors
        differentiable = torch.is_grad_enabled()
        by_grad = _slope_in_mode(ctx.kernel, outer, x) if ctx.needs_input_grad[0] else None
        by_x = None
        if ctx.needs_input_grad[1]:
            with torch.enable_grad():
                alias = _differentiable_alias(x, differentiable)
                (first,) = torch.autograd.grad(ctx.kernel.fallback(alias), alias, grad, create_graph=True)
                (by_x,) = torch.autograd.grad(first, alias, outer, create_graph=differentiable)
        return by_grad, by_x, None
