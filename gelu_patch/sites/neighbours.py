"""What stands before and after a GELU in a run: whether Linear and GELU could be fused there.

A pair can be fused when the input of the GELU is the whole output of exactly ``nn.Linear`` or the Conv1D of
Transformers: a subclass may compute something else, and half of an output (a packed gate) is no pair.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import nn


@dataclass
class _Seen:
    producers: set[str] = field(default_factory=set)  # the Linear whose output it takes, or why it is no pair
    fusable: bool = True
    gated: bool = False
    consumers: set[str] = field(default_factory=set)


def is_plain_linear(module: nn.Module) -> bool:
    """Tell whether the module is exactly an ``nn.Linear`` or a Conv1D of Transformers, and no subclass."""
    kind = type(module)
    return kind is nn.Linear or (kind.__name__ == "Conv1D" and kind.__module__ == "transformers.pytorch_utils")


class Neighbours:
    """Follows tensors between Linears and sites during one run; it keeps the last few outputs only."""

    def __init__(self) -> None:
        self._produced: deque[tuple[torch.Tensor, str, nn.Module]] = deque(maxlen=16)
        self._activated: deque[tuple[torch.Tensor, str]] = deque(maxlen=4)
        self._seen: dict[str, _Seen] = {}

    def produced(self, name: str, module: nn.Module, output: object) -> None:
        """Note the output of a Linear or of a subclass."""
        if isinstance(output, torch.Tensor):
            self._produced.append((output, name, module))

    def entered(self, site: str, value: object) -> None:
        """Note the input of a site."""
        seen = self._seen.setdefault(site, _Seen())
        why, fusable = self._producer(value)
        seen.producers.add(why)
        seen.fusable &= fusable

    def left(self, site: str, output: object) -> None:
        """Note the output of a site."""
        if isinstance(output, torch.Tensor):
            self._activated.append((output, site))

    def consumed(self, name: str, value: object) -> None:
        """Note the input of a Linear."""
        for output, site in self._activated:
            if isinstance(value, torch.Tensor) and _same_elements(value, output):
                self._seen[site].consumers.add(name)

    def multiplied(self, *factors: object) -> None:
        """Note a product: a GELU that is multiplied by a tensor of its own size is a gate."""
        tensors = [factor for factor in factors if isinstance(factor, torch.Tensor)]
        for output, site in self._activated:
            if len(tensors) == 2 and any(factor is output for factor in tensors):
                self._seen[site].gated |= tensors[0].shape == tensors[1].shape

    def _producer(self, value: object) -> tuple[str, bool]:
        if not isinstance(value, torch.Tensor):
            return "its input was not seen", False
        for output, name, module in reversed(self._produced):
            if _same_elements(value, output):
                kind = type(module).__name__
                return (name, True) if is_plain_linear(module) else (f"{_last(name)} is a {kind}", False)
            if _shares_memory(value, output):
                return f"it takes a part of {_last(name)}", False
        return "no Linear before it", False

    def blocks(self) -> Mapping[str, str]:
        """Return for each site what could be fused, or why nothing can."""
        return {site: ", ".join(_describe(seen)) for site, seen in self._seen.items()}


def _describe(seen: _Seen) -> Iterator[str]:
    if not seen.fusable:
        yield f"no: {'; '.join(sorted(seen.producers))}"
    else:
        yield f"yes: {_short(seen.producers)} + GELU"
    if seen.gated:
        yield "gated"
    elif seen.consumers and seen.fusable:
        yield f"then {_short(seen.consumers)}"


def _short(names: set[str]) -> str:
    return "/".join(sorted({_last(name) for name in names}))


def _last(name: str) -> str:
    return name.rsplit(".", 1)[-1]


def _same_elements(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one is other or (one.numel() == other.numel() and _shares_memory(one, other))


def _shares_memory(one: torch.Tensor, other: torch.Tensor) -> bool:
    if one.device != other.device or one.device.type == "meta":
        return False
    return one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()
