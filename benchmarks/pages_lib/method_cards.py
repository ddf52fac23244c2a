"""docs/activations.md: a card for every registered activation, from the registries alone."""

from __future__ import annotations

from pathlib import Path

import torch

from gelu_patch.activations.base import Activation, activations
from gelu_patch.kernels.base import Accepted, Request, kernels

HEAD = """# Activations

Written by `benchmarks/tables.py` from the registry, so a registered activation is on this page. Names are those of
`patch_model(model, NAME)`. *Error against exact GELU* is the largest |f(x) - GELU(x)| for x in [-8, 8], on a grid of
160,001 points: how much mathematics a swap from GELU changes. What that does to a checkpoint only an
[evaluation](guide/decide.md) can say."""


def method_cards(results: Path) -> str:
    """Return the page. ``results`` is not needed: distances are computed."""
    del results
    return "\n\n".join([HEAD, *map(_card, activations)]) + "\n"


def _card(activation: Activation) -> str:
    aliases = activations.aliases_of(activation.name)
    lines = [
        f"## {activation.name}",
        f"{activation.summary}.",
        "\n".join(
            f"* **{what}**: {said}"
            for what, said in (
                ("Error against exact GELU", _error(activation)),
                ("Also called", ", ".join(f"`{name}`" for name in aliases)),
                ("Kernels", _kernels(activation)),
                ("Gradient", _gradient(activation)),
                ("When", activation.use),
                ("Source", activation.source),
            )
            if said
        ),
    ]
    return "\n\n".join(lines)


def _error(activation: Activation) -> str:
    distance = activation.distance
    if distance.max_abs == 0:
        return "0"
    return f"{distance.max_abs:.1e} at x = {distance.at:.2f}"


def _kernels(activation: Activation) -> str:
    """Who computes it on a CPU in float32, and how many tensors are kept for backward."""
    request = Request(activation.name, "cpu", torch.float32)
    serving = [kernel for kernel in kernels if isinstance(kernel.answer(request), Accepted)]
    return ", ".join(
        f"`{kernel.name}` (keeps {kernel.saved_tensors(activation.name)} for backward)"
        for kernel in sorted(serving, key=lambda kernel: -kernel.priority)
    )


def _gradient(activation: Activation) -> str:
    if activation.approximates is None:
        return ""
    found = activation.approximates
    error = f"{found.rms:.3f} (root mean square, x normally distributed), at most {found.largest:.3f}"
    return f"a step function; off by {error}"
