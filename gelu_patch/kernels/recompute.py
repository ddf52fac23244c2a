"""Keeping less for backward: a tensor that can be computed again is not stored (``memory="balanced"``).

The patched model has two forward hooks, ``enter`` and ``leave``. Between them, and with gradients on, a pair of
PyTorch's saved-tensor hooks sees whatever any operation saves. An activation ``note``s its output and how to compute
it. When the next operation saves that output untouched (the whole of it or a view; same storage, same version), the
recipe is kept instead, and the tensor itself is freed; backward computes it by the same function from the same input.
Everything else is kept as it is, with its version: under saved-tensor hooks PyTorch leaves that check to the hooks.

Nothing is recorded, and everything is kept as PyTorch keeps it: without gradients; while compiling, exporting or
tracing; under the transforms of torch.func, forward-mode derivatives and dispatch modes; when saved-tensor hooks of
somebody else are active already (``save_on_cpu``, gradient checkpointing), because PyTorch asks only the innermost
pair; and before PyTorch 2.8, which does not tell whether there are any.

Not seen, because no version changes: writing to a noted output behind the back of autograd (``output.data``, raw
pointers) before the next operation saves it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol

import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef

from gelu_patch.kernels.plain import is_observed

_autograd: Any = torch._C._autograd
_TELLS_ITS_HOOKS = hasattr(_autograd, "_top_saved_tensors_default_hooks")


class _Saved(Protocol):
    """What stands for a saved tensor until the backward pass."""

    def restore(self) -> torch.Tensor:
        """Return the tensor; called as often as backward needs it."""

    def kept(self) -> Iterator[torch.Tensor]:
        """Yield the tensors that are held meanwhile."""


class _Kept:
    """The tensor itself, as it was."""

    __slots__ = ("_tensor", "_version")

    def __init__(self, tensor: torch.Tensor) -> None:
        # Detached, a tensor does not hold the graph that holds it. A parameter has none; some companions swap its data.
        self._tensor = tensor if isinstance(tensor, nn.Parameter) else tensor.detach()
        self._version = tensor._version

    def restore(self) -> torch.Tensor:
        """Return it. Raises RuntimeError, as PyTorch does, when it was changed in place meanwhile."""
        tensor = self._tensor
        if tensor._version != self._version:
            raise RuntimeError(
                "one of the variables needed for gradient computation has been modified by an inplace operation: "
                f"[{tensor.type()} {list(tensor.shape)}] is at version {tensor._version}; expected version "
                f"{self._version} instead. Hint: enable anomaly detection to find the operation that failed to compute "
                "its gradient, with torch.autograd.set_detect_anomaly(True)."
            )
        return tensor

    def kept(self) -> Iterator[torch.Tensor]:
        """Yield it."""
        yield self._tensor


class _Recipe:
    """How to compute a noted tensor."""

    __slots__ = ("_compute", "_inputs", "dtype", "storage", "stride", "version")

    def __init__(
        self, output: torch.Tensor, compute: Callable[..., torch.Tensor], inputs: tuple[torch.Tensor, ...]
    ) -> None:
        self._compute = compute
        self._inputs: tuple[_Saved, ...] = tuple(_packed(each) for each in inputs)
        # While this exists, no other storage gets the same address.
        self.storage = StorageWeakRef(output.untyped_storage())  # type: ignore[no-untyped-call]  # torch's
        self.version = output._version
        self.dtype = output.dtype
        self.stride = output.stride()

    def is_alive(self) -> bool:
        """Whether the noted tensor, or a view of it, still exists."""
        return not self.storage.expired()  # type: ignore[no-untyped-call]  # torch's

    def restore(self) -> torch.Tensor:
        """Return the noted tensor, anew, in its memory order."""
        with torch.no_grad():
            output = self._compute(*(each.restore() for each in self._inputs))
            if output.stride() == self.stride:
                return output
            return output.new_empty_strided(output.shape, self.stride).copy_(output)

    def kept(self) -> Iterator[torch.Tensor]:
        """Yield what the computation starts from."""
        for each in self._inputs:
            yield from each.kept()


class _Again:
    """A noted tensor, or a view of it, that is computed again."""

    __slots__ = ("_offset", "_recipe", "_shape", "_stride")

    def __init__(self, tensor: torch.Tensor, recipe: _Recipe) -> None:
        self._recipe = recipe
        self._shape, self._stride, self._offset = tensor.shape, tensor.stride(), tensor.storage_offset()

    def restore(self) -> torch.Tensor:
        """Compute it."""
        return self._recipe.restore().as_strided(self._shape, self._stride, self._offset)

    def kept(self) -> Iterator[torch.Tensor]:
        """Yield what the computation starts from."""
        return self._recipe.kept()


class _Recording:
    """One forward of a patched model: the recipes of the tensors that are alive, by the address of their storages."""

    def __init__(self, module: nn.Module, frame: FrameType) -> None:
        self.module, self.frame, self.depth = module, frame, 1
        self._recipes: dict[int, _Recipe] = {}
        self._casts: dict[int, tuple[torch.Tensor, int, torch.Tensor]] = {}

    def cast(self, weight: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Return the weight in another dtype, the same tensor at every call while the weight is what it was."""
        known, version, cast = self._casts.get(id(weight), (None, 0, weight))
        if known is not weight or version != weight._version or cast.dtype != dtype:
            cast = weight.to(dtype)
            self._casts[id(weight)] = weight, weight._version, cast
        return cast

    def add(self, recipe: _Recipe) -> None:
        """Remember it; forget those whose tensors are gone, and with them what they hold."""
        self._recipes = {key: old for key, old in self._recipes.items() if old.is_alive()}
        self._recipes[recipe.storage.cdata] = recipe

    def find(self, tensor: torch.Tensor) -> _Recipe | None:
        """Return the recipe of an untouched tensor or of what it is a view of."""
        if not self._recipes or type(tensor) is not torch.Tensor or tensor.layout is not torch.strided:
            return None
        try:
            recipe = self._recipes.get(tensor.untyped_storage()._cdata)
        except NotImplementedError:  # a tensor of a transform
            return None
        if recipe is None or recipe.version != tensor._version or recipe.dtype != tensor.dtype or tensor.is_neg():
            return None
        return recipe


class _Thread(threading.local):
    recording: _Recording | None = None
    observer: Callable[[torch.Tensor], object] | None = None


_thread = _Thread()


def note(output: torch.Tensor, compute: Callable[..., torch.Tensor], *inputs: torch.Tensor) -> None:
    """Tell the recording, if there is one, that ``output`` is ``compute(*inputs)``.

    To be called where ``output`` was just made, when ``inputs`` are kept for backward anyway (each itself, or the
    recipe that was noted for it). ``compute`` must give the same bits every time, and is called without gradients and
    outside of the forward's autocast. An output that shares its storage, or that needs no gradient, is not noted.
    """
    if torch.compiler.is_compiling():
        return
    recording = _thread.recording
    if recording is None or not output.requires_grad or not is_recording():
        return
    if type(output) is torch.Tensor and output.untyped_storage().nbytes() == output.numel() * output.element_size() > 0:
        recording.add(_Recipe(output, compute, inputs))


def cast_once(weight: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return ``weight.to(dtype)`` with its graph, in one forward of a patched model always the same tensor.

    As autocast does it: layers that share a weight share what is kept of it, and their gradients add up in ``dtype``.
    """
    recording = _thread.recording
    if recording is None or weight.dtype == dtype or not (torch.is_grad_enabled() and is_recording()):
        return weight.to(dtype)
    return recording.cast(weight, dtype)


def is_recording() -> bool:
    """Whether what is saved for backward now is computed again where it was noted."""
    return _thread.recording is not None and _innermost() is _pack


def enter(module: nn.Module, args: object) -> None:
    """Begin to record, as a forward pre-hook of a patched model; within another one's recording, do nothing."""
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return
    recording = _thread.recording
    if recording is not None:
        if _is_running(recording.frame):
            recording.depth += recording.module is module
            return
        _stop()  # that forward was interrupted (Ctrl-C), which runs no hooks
    if _may_record():
        _HOOKS.__enter__()
        _thread.recording = _Recording(module, sys._getframe(1))


def leave(module: nn.Module, args: object, output: object) -> None:
    """End the recording that ``enter`` began for this module, as a forward hook that is always called."""
    if torch.compiler.is_compiling():
        return
    recording = _thread.recording
    if recording is not None and recording.module is module:
        recording.depth -= 1
        if recording.depth == 0:
            _stop()


@contextmanager
def observing(observer: Callable[[torch.Tensor], object]) -> Iterator[None]:
    """Call ``observer`` with every tensor that is kept for backward inside the block, in this thread.

    Unlike saved-tensor hooks of your own, this does not keep patched models from recording.
    """
    before, _thread.observer = _thread.observer, observer
    try:
        with saved_tensors_hooks(_observe, _unpack):
            yield
    finally:
        _thread.observer = before


def _packed(tensor: torch.Tensor) -> _Saved:
    recording = _thread.recording
    recipe = recording.find(tensor) if recording is not None else None
    return _Kept(tensor) if recipe is None else _Again(tensor, recipe)


def _pack(tensor: torch.Tensor) -> _Saved:
    saved = _packed(tensor)
    if _thread.observer is not None:
        for kept in saved.kept():
            _thread.observer(kept)
    return saved


def _observe(tensor: torch.Tensor) -> _Saved:
    if _thread.observer is not None:
        _thread.observer(tensor)
    return _Kept(tensor)


def _unpack(saved: _Saved) -> torch.Tensor:
    return saved.restore()


# One pair of functions for all threads and forwards: compiled code inside of a patched model is guarded by them.
_HOOKS = saved_tensors_hooks(_pack, _unpack)


def _may_record() -> bool:
    if is_observed() or not _TELLS_ITS_HOOKS or not _autograd._saved_tensors_hooks_is_enabled():
        return False
    if _innermost() is _pack:  # left behind by an interrupted forward
        _HOOKS.__exit__()
    return _innermost() in (None, _observe)


def _innermost() -> object:
    """The function that would be asked to pack a tensor now, or None."""
    hooks = _autograd._top_saved_tensors_default_hooks(False)
    return hooks[0] if hooks else None


def _stop() -> None:
    _thread.recording = None
    if _innermost() is _pack:
        _HOOKS.__exit__()


def _is_running(frame: FrameType) -> bool:
    """Whether ``frame`` is one of those that led here."""
    here: FrameType | None = sys._getframe(1)
    while here is not None and here is not frame:
        here = here.f_back
    return here is frame
