"""A bias's gradient, which the kernel of the activation behind the Linear makes beside its own."""

from __future__ import annotations

import torch

_NAME = "_gelu_patch_sums"  # on the result of a Linear


class Sums:
    """The sums of a gradient over its rows, on their way from an activation to the bias of the Linear before it.

    One kernel makes both. Where the gradient that arrives is not the one that left, there are none.
    """

    def __init__(self) -> None:
        self._given: tuple[torch.Tensor, int, torch.Tensor] | None = None

    def request(self, output: torch.Tensor) -> None:
        """Ask the activation that gets ``output``, the result of the Linear, and nobody else."""
        vars(output)[_NAME] = self

    @staticmethod
    def requested(input: torch.Tensor) -> Sums | None:
        """Return whoever asked for the sums of the gradient of ``input``; once."""
        found: Sums | None = vars(input).pop(_NAME, None)
        return found

    def give(self, grad: torch.Tensor, sums: torch.Tensor) -> None:
        """Keep ``sums`` until they are taken; with them the gradient, so that its storage is its own."""
        self._given = grad, grad._version, sums

    def take(self, grad: torch.Tensor) -> torch.Tensor | None:
        """Return the sums of ``grad``, a view of what was given; None when something else arrived."""
        given, self._given = self._given, None
        if given is None:
            return None
        kept, version, sums = given
        same = kept.data_ptr() == grad.data_ptr() and kept.numel() == grad.numel() and grad._version == version
        return sums if same and kept.dtype == grad.dtype else None
