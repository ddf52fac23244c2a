"""The weight of a Linear in the order of memory that oneDNN likes best, for ``memory="speed"``: a second copy.

It belongs to nobody but its block: it is in no state_dict, copy or pickle, and it is made again when the weight
changes.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class _Packed:
    weight: weakref.ref[torch.Tensor]
    version: int
    address: int
    sample: torch.Tensor
    packed: torch.Tensor

    def is_of(self, weight: torch.Tensor) -> bool:
        return (
            self.weight() is weight
            and self.version == weight._version
            and self.address == weight.data_ptr()
            and torch.equal(self.sample, _sample(weight))
        )


class PackedWeight:
    """A cache of one packed weight."""

    def __init__(self) -> None:
        self._kept: _Packed | None = None  # replaced as a whole, so that threads meet the old or the new one

    def of(self, weight: torch.Tensor, transposed: bool, rows: int) -> torch.Tensor | None:
        """Return ``weight`` (out, in), or (in, out) when ``transposed``, in packed form; None when it cannot be kept.

        ``rows`` is what the product will have, a hint for the layout.
        """
        if weight.is_inference():  # PyTorch does not count its changes
            return None
        if self._kept is None or not self._kept.is_of(weight):
            plain = weight.detach()
            packed = torch.ops.mkldnn._reorder_linear_weight((plain.t() if transposed else plain).contiguous(), rows)
            self._kept = _Packed(weakref.ref(weight), weight._version, weight.data_ptr(), _sample(weight), packed)
        return self._kept.packed

    def __getstate__(self) -> dict[str, Any]:
        return {"_kept": None}


def _sample(weight: torch.Tensor) -> torch.Tensor:
    """A few elements: writing through ``weight.data`` changes no version, and nearly always all elements."""
    flat = weight.detach().flatten()
    return flat[:: max(1, len(flat) // 61)].clone()
