"""What a search in the code of a method gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from gelu_patch.activations.base import activations
from gelu_patch.activations.recognise import Recognition
from gelu_patch.sites.inline.methods import Edit, Span

NOT_GELU = Recognition(None, None, "no GELU")


@dataclass(frozen=True)
class Found:
    """A piece of a method that computes an activation of one tensor.

    ``callee`` is source that evaluates to the function; ``edits`` make the method call ``{replacement}``
    instead of it. ``call`` is the span whose execution runs it; any code ``inside`` of it when it is a formula.
    ``activation_of`` takes the module, because a look-up or a formula may read its attributes.
    """

    label: str
    text: str
    call: Span
    inside: bool
    callee: str
    edits: tuple[Edit, ...]
    activation_of: Callable[[torch.nn.Module], Recognition]
    depends_on_module: bool = False


def is_gelu(found: Recognition) -> bool:
    """Tell whether a recognised thing is one of the GELUs."""
    return found.activation is not None and activations.get(found.activation).is_gelu
