"""What the activations of a model give while it trains: their mean, how often almost nothing, and dead units.

They are looked at by forward hooks, at a few steps only. Under a hook a Linear and its activation run one after the
other instead of as one block, so such a step takes a little longer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from gelu_patch.sites import inspect_model

# A GELU gives less than this left of -4, and between -0.002 and 0.002.
NEAR_ZERO = 1e-3
STATISTICS = ("mean", "near_zero", "dead")


class ActivationWatch:
    """Looks at the GELU sites of a model, stock or patched; code in a method can be seen when it is patched."""

    def __init__(self, model: nn.Module) -> None:
        sites = inspect_model(model).sites
        self._modules: dict[str, nn.Module] = {
            site.name: site.target for site in sites if isinstance(site.target, nn.Module)
        }
        self._seen: dict[str, Tensor] = {}

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Remember the statistics of the first output of every site in the block, without waiting for a GPU."""
        self._seen = {}
        handles = [module.register_forward_hook(self._hook(name)) for name, module in self._modules.items()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def taken(self) -> Mapping[str, Tensor]:
        """Return, and forget, what was seen: by site the ``STATISTICS``, shape ``(3,)``."""
        seen, self._seen = self._seen, {}
        return seen

    def _hook(self, name: str):  # type: ignore[no-untyped-def]  # torch types it as Callable[..., Any]
        def look(module: nn.Module, args: object, output: object) -> None:
            if name not in self._seen and isinstance(output, Tensor) and output.numel():
                self._seen[name] = statistics(output.detach())

        return look


def statistics(output: Tensor) -> Tensor:
    """Return mean, share of outputs nearer to zero than 0.001, and share of units with no other output.

    ``output`` is ``(..., units)``; the result is float32 ``(3,)``, on its device.
    """
    quiet = output.abs() < NEAR_ZERO
    dead = quiet.reshape(-1, output.shape[-1]).all(dim=0)
    return torch.stack([output.float().mean(), quiet.float().mean(), dead.float().mean()])
