"""What stands between a Linear and an activation in a patched module, and computes both."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from gelu_patch.blocks import compiled, guards, inference, libraries
from gelu_patch.blocks.down import Postponed
from gelu_patch.blocks.gated import Pending
from gelu_patch.blocks.gradient import differentiable
from gelu_patch.blocks.packed import PackedWeight
from gelu_patch.blocks.product import Product, product_of
from gelu_patch.kernels import KernelActivation, recompute
from gelu_patch.kernels.autograd import Elementwise
from gelu_patch.memory import Memory
from gelu_patch.sites.inline.pairs import FRESH, Pair


class Block:
    """Computes ``activation(linear(x))`` of one module, with the activation in place where that is safe.

    It knows the module and looks both up at every call, so it stays right whatever is put there. The result does not
    depend on it, but for the rounding of the matrix product.
    """

    def __init__(self, parent: nn.Module, pair: Pair, activation: KernelActivation) -> None:
        self.parent = parent
        self.pair = pair
        self._replacement = activation  # of an expression: a call that is under way while a patch is undone ends by it
        self._packed = PackedWeight()

    def __call__(self, x: torch.Tensor) -> Any:
        """Apply to ``x`` of shape (..., in features); shape (..., out features) comes out.

        Where the code multiplies the result, or gives it to another Linear, and the kernel can serve that, too, what
        comes out stands for it.
        """
        before, after = getattr(self.parent, self.pair.linear), self._activation()
        if torch.compiler.is_compiling():
            return compiled.compute(before, after, x)
        if not guards.are_plain(before, after, x):
            return _both(before, after, x)
        product = product_of(before, x, self._packed if after.memory == "speed" else None)
        wants_gradient = guards.wants_gradient(product)
        if self.pair.product is None and not wants_gradient and inference.takes_one_kernel(product, after):
            with torch.no_grad():
                return inference.in_one_kernel(product)
        kernel = guards.kernel_for(after, product)
        if kernel is not None and self.pair.product is not None and kernel.gated is not None:
            return Pending(_gate(product, wants_gradient, after.memory), after, kernel)
        if wants_gradient and kernel is not None and self.pair.down is not None:
            down = self.parent._modules.get(self.pair.down)
            if guards.may_take_down(down, kernel, after, x):
                return Postponed(differentiable(product, kernel, is_kept=after.memory != "max"), after, kernel)
        if wants_gradient and after.memory == "max":
            return _keeping_x(before, after, x, kernel)
        if kernel is None:
            return _both(before, after, x)
        if wants_gradient:
            return after(differentiable(product, kernel))
        with torch.no_grad():
            out = inference.compute(product, kernel)
        if self.pair.product is not None:
            setattr(out, FRESH, True)
        return out

    def done(self, out: Any) -> Any:
        """Stand where the activation stood."""
        return out

    def then(self, out: Any) -> Any:
        """Stand where the Linear stood that takes the result."""
        down = getattr(self.parent, str(self.pair.down))
        return out.through(down) if isinstance(out, Postponed) else down(out)

    def _activation(self) -> Any:
        if isinstance(self.pair.activation, str):
            return getattr(self.parent, self.pair.activation)
        return vars(self.parent).get(self.pair.activation.attribute, self._replacement)


def _gate(product: Product, wants_gradient: bool, memory: Memory) -> torch.Tensor:
    """The product alone, in memory of its own."""
    if wants_gradient:
        return differentiable(product, is_kept=memory != "max")
    with torch.no_grad():
        return libraries.compute(product)


def _both(before: nn.Module, after: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """One after the other."""
    out: torch.Tensor = after(before(x))
    return out


def _keeping_x(before: nn.Module, after: KernelActivation, x: torch.Tensor, kernel: Elementwise | None) -> torch.Tensor:
    """Both, with a graph that keeps ``x`` alone; the next operation need not keep the result either."""
    device = x.device.type
    enabled, dtype = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)

    def compute(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device, dtype, enabled):
            if kernel is None:
                return _both(before, after, x)
            found: torch.Tensor = after(differentiable(product_of(before, x), kernel))
            return found

    out: torch.Tensor = checkpoint(compute, x, use_reentrant=False, preserve_rng_state=False)
    recompute.note(out, compute, x)
    return out
