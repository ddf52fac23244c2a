"""What autograd keeps for the backward pass: bytes of the whole model, and tensors of each activation site."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import chain

import torch
from torch import nn

from gelu_patch.kernels.recompute import observing
from gelu_patch.reporting.schema import Memory
from gelu_patch.sites import find_sites
from gelu_patch.sites.modes import modes_restored
from gelu_patch.timing.inputs import Inputs
from gelu_patch.timing.shapes import Shape


def measure_saved(model: nn.Module, inputs: Inputs, shape: Shape) -> Memory:
    """Run two forwards on ``inputs`` in training mode and count what one keeps for backward; see ``saved_by``."""
    return saved_by(lambda: model(**inputs), model, "forward_backward", shape)


def saved_by(forward: Callable[[], object], model: nn.Module, phase: str, shape: Shape) -> Memory:
    """Call ``forward``, which runs ``model``, twice in training mode and count what one call keeps for backward.

    Bytes are those of distinct storages, without parameters and buffers, and without what backward will compute again
    (``gelu_patch.memory``). For the activation sites, a storage is counted once a site: its input, which a Linear made,
    is the site's when the site keeps it. Sites that are plain functions in attributes cannot be told apart from their
    surroundings and are counted in the total only.
    """
    whole, by_site = _Ledger(model), _Ledger(model)
    _run(forward, model, whole.watching())
    _run(forward, model, by_site.watching_sites(model))
    per_site = by_site.per_site.values()
    return Memory(
        phase=phase,
        shape=shape,
        saved_for_backward_bytes=sum(whole.total.values()),
        activation_saved_bytes=sum(sum(sizes.values()) for sizes in per_site),
        activation_saved_tensors=max((len(sizes) for sizes in per_site), default=None),
    )


def _run(forward: Callable[[], object], model: nn.Module, watching: AbstractContextManager[None]) -> None:
    with modes_restored(model), watching, torch.random.fork_rng(), torch.enable_grad():
        # The output is held until the end: storages that are freed early would be given out, and counted, twice.
        model.train()
        output = forward()
    del output


class _Ledger:
    """Storages kept for backward, by data pointer: of everything, and of each site."""

    def __init__(self, model: nn.Module) -> None:
        tensors = chain(model.parameters(), model.buffers())
        self._weights = {tensor.untyped_storage().data_ptr() for tensor in tensors}
        self._inside: list[int] = []
        self.total: dict[int, int] = {}
        self.per_site: dict[int, dict[int, int]] = {}

    def _see(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._weights:
            self.total[storage.data_ptr()] = storage.nbytes()
            for site in self._inside:
                self.per_site[site][storage.data_ptr()] = storage.nbytes()

    def watching(self) -> AbstractContextManager[None]:
        """Count all that is kept during the block."""
        return observing(self._see)

    @contextmanager
    def watching_sites(self, model: nn.Module) -> Iterator[None]:
        """Count during the block also by site, with hooks on the sites that are gone afterwards.

        A hook keeps a block from being fused, so what the whole model keeps is counted without.
        """
        handles = []
        for site in find_sites(model):
            if site.is_gelu and isinstance(site.target, nn.Module):
                self.per_site[id(site.target)] = {}
                handles.append(site.target.register_forward_pre_hook(self._enter))
                handles.append(site.target.register_forward_hook(self._leave))
        try:
            with self.watching():
                yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, module: nn.Module, _args: object) -> None:
        self._inside.append(id(module))

    def _leave(self, _module: nn.Module, _args: object, _output: object) -> None:
        self._inside.pop()
