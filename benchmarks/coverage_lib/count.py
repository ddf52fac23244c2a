"""Counting GELUs without trusting gelu_patch: by what the operators compute, below every Python name.

A dispatch mode sees each ATen call. ``aten::gelu`` is a GELU by name. A formula shows by its numbers: an ``erf``;
a ``tanh`` of sqrt(2/pi) (x + 0.044715 x^3); a ``sigmoid`` of 1.702 x, where x is a tensor that was in use
immediately before. Which code called it, or which object holds it, does not matter here.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_WINDOW = 16  # tensors; the longest formula needs 8
_aten = torch.ops.aten


class GeluCounter(TorchDispatchMode):
    """Counts executions by the kind of GELU: ``gelu``, ``gelu_tanh``, ``gelu_quick``."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self._recent: deque[torch.Tensor] = deque(maxlen=_WINDOW)

    @property
    def total(self) -> int:
        """All executions."""
        return self.counts.total()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        operator = func.overloadpacket
        if operator in (_aten.gelu, _aten.gelu_):
            self.counts["gelu_tanh" if kwargs.get("approximate") == "tanh" else "gelu"] += 1
        elif operator in (_aten.erf, _aten.erf_, _aten.special_erf):
            self.counts["gelu"] += 1
        elif operator in (_aten.tanh, _aten.tanh_) and self._is_recent(args[0], _tanh_argument):
            self.counts["gelu_tanh"] += 1
        elif operator in (_aten.sigmoid, _aten.sigmoid_) and self._is_recent(args[0], _quick_argument):
            self.counts["gelu_quick"] += 1
        result = func(*args, **kwargs)
        for tensor in (*args, result):
            if isinstance(tensor, torch.Tensor) and tensor.is_floating_point():
                self._recent.append(tensor)
        return result

    def _is_recent(self, argument: torch.Tensor, function: Any) -> bool:
        if argument.numel() == 0 or not argument.any():
            return False
        return any(
            tensor.shape == argument.shape
            and tensor is not argument
            and torch.allclose(function(tensor), argument, rtol=1e-4, atol=1e-5)
            for tensor in tuple(self._recent)
        )


def _tanh_argument(x: torch.Tensor) -> torch.Tensor:
    return math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)


def _quick_argument(x: torch.Tensor) -> torch.Tensor:
    return 1.702 * x
