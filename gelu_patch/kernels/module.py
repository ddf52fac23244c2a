"""The module that stands where an activation stood."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn

from gelu_patch.activations.base import activations
from gelu_patch.environment import is_disabled
from gelu_patch.kernels import recompute
from gelu_patch.kernels.base import kernels
from gelu_patch.kernels.eager import EagerKernel
from gelu_patch.memory import DEFAULT, Memory

# TorchScript skips what this guards; it would also read a comment that begins with "type:" inside of a method.
_is_scripting = torch.jit.is_scripting  # type: ignore[attr-defined]  # torch does not export it

_FOUND_BY_NAME = {"function", "scriptable_function", "_can_be_recomputed"}


class KernelActivation(nn.Module):
    """Computes ``activation`` by ``kernel``; remembers what it replaced.

    It has no parameters, buffers or children, so ``state_dict`` keys stay as they were. The original (whose
    mathematics is ``origin``) is kept out of the module tree, and it travels along in ``deepcopy`` and pickle,
    so that a copy can be unpatched.
    """

    # torch.jit.script compiles every property of a module unless told otherwise.
    __jit_unused_properties__: ClassVar = ["original", "stock", "gelu_patch_activation"]

    def __init__(self, activation: str, kernel: str, original: object, origin: str, memory: Memory = DEFAULT) -> None:
        super().__init__()
        self.activation = activations.get(activation).name
        self.kernel = kernel
        self.gelu_patch_origin = origin  # the activation that the model came with; read by `sites`
        self._original = (original,)  # in a tuple: nn.Module would register a bare module as a child
        self.memory: Memory = memory
        self._find_function()

    def _find_function(self) -> None:
        kernel = kernels.get(EagerKernel.name if is_disabled(self.kernel) else self.kernel)
        self.function = kernel.function(self.activation)
        # C is beyond torch.jit.script, which compiles the ATen form where there is one.
        self.scriptable_function = EagerKernel.functions().get(self.activation, self.function)
        self._can_be_recomputed = self.memory != "speed" and kernel.keeps_input(self.activation)

    @property
    def original(self) -> object:
        """What stood here before."""
        return self._original[0]

    @property
    def stock(self) -> object:
        """What stood here before the first patch."""
        original = self.original
        return original.stock if isinstance(original, KernelActivation) else original

    @property
    def gelu_patch_activation(self) -> str:
        """The protocol by which ``recognise`` knows modules of this package."""
        return self.activation

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Apply the activation elementwise: any shape, the same shape and dtype out."""
        if _is_scripting():
            output = self.scriptable_function(input)
        else:
            output = self.function(input)
            if self._can_be_recomputed:
                recompute.note(output, self.function, input)
        return output

    def extra_repr(self) -> str:
        """Name the mathematics and who computes it."""
        return f"{self.activation}, kernel={self.kernel!r}"

    def __getstate__(self) -> dict[str, Any]:
        # Functions of compiled kernels do not pickle; the names find them again.
        return {key: value for key, value in self.__dict__.items() if key not in _FOUND_BY_NAME}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        vars(self).setdefault("memory", DEFAULT)
        self._find_function()
