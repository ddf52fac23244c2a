"""What keeps ``model.save_pretrained(directory)`` honest: attributes on patched models, never an edited class.

Every module of a patched model whose class has ``save_pretrained`` gets an attribute of that name, which goes when the
last patch goes. Modules that are put around a patched model later (PEFT's, an encoder-decoder) are seen through
PyTorch's own hook for registrations.
"""

from __future__ import annotations

import copy
import functools
import inspect
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar, SupportsIndex

from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook

from gelu_patch import blocks
from gelu_patch.patching import adapters, recording, saving
from gelu_patch.patching.current import gives_other_values, patched_parts, patched_sites
from gelu_patch.patching.guard import guard, unguard


class Hook:
    """Stands in a module's ``__dict__`` for a method of its class; a copy of the module gets a hook bound to the copy.

    It refers to its module, like a bound method, so that ``build().save_pretrained(directory)`` works: a model that is
    deleted while it is patched is freed by the garbage collector, not at once.
    """

    method: ClassVar[str]

    def __init__(self, model: nn.Module, earlier: Callable[..., Any] | None = None) -> None:
        self.model = model
        self._earlier = earlier  # somebody else's attribute, which was there before

    @property
    def stock(self) -> Callable[..., Any]:
        """What the model would do without this package."""
        return self._earlier or functools.partial(getattr(type(self.model), self.method), self.model)

    @property
    def __signature__(self) -> inspect.Signature:
        # Trainers ask which arguments there are.
        return inspect.signature(self.stock)

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        _watch_registrations()

    @classmethod
    def attach(cls, module: nn.Module) -> None:
        """Put it on ``module``, unless it is there."""
        earlier = vars(module).get(cls.method)
        if not isinstance(earlier, cls):
            vars(module)[cls.method] = cls(module, earlier)

    @classmethod
    def detach(cls, module: nn.Module) -> None:
        """Take it off ``module``; what somebody else had there comes back."""
        hook = vars(module).get(cls.method)
        if isinstance(hook, cls):
            del vars(module)[cls.method]
            if hook._earlier is not None:
                vars(module)[cls.method] = hook._earlier


class SavePretrained(Hook):
    """``save_pretrained`` that says what the saved model computes."""

    method = "save_pretrained"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Save like the model's class does, and write the sidecar; see ``saving.save``."""
        return saving.save(self.model, self.stock, *args, **kwargs)


class LoadAdapter(Hook):
    """``load_adapter`` that warns when the adapter was trained on other mathematics."""

    method = "load_adapter"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Load like the model's class does, after a look at the sidecar; see ``adapters.check``."""
        adapters.check(self.model, inspect.signature(self.stock).bind(*args, **kwargs).arguments)
        return self.stock(*args, **kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> LoadAdapter:
        return LoadAdapter(copy.deepcopy(self.model, memo), copy.deepcopy(self._earlier, memo))

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        # It also stands on PEFT models that are not patched: their pickles must not need this package.
        if patched_sites(self.model):
            return super().__reduce_ex__(protocol)
        return getattr, (self.model, self.method)


_HOOKS: tuple[type[Hook], ...] = (SavePretrained, LoadAdapter)

# The models that get a hook while a `patch_act2fn` block builds them, before they have any site.
_being_built: ContextVar[list[weakref.ref[nn.Module]] | None] = ContextVar("gelu_patch_being_built", default=None)


def follow(model: nn.Module) -> None:
    """Put the hooks on ``model`` and its parts while it is patched; take them off when it is stock."""
    sites = patched_sites(model)
    if not sites:
        for module in model.modules():
            _detach(module)
        return
    _watch_registrations()
    adapters.quiet_peft()
    for module in model.modules():
        _attach(module)
    recording.follow(model, (site.target for site in sites))
    if gives_other_values(site.target for site in sites):
        guard(model)  # a model around it could lie


def _alive(references: Iterable[weakref.ref[nn.Module]]) -> Iterator[nn.Module]:
    return (model for model in (reference() for reference in references) if model is not None)


@contextmanager
def models_built_here() -> Iterator[None]:
    """Watch models that are built inside the block with their patch."""
    _watch_registrations()
    adapters.quiet_peft()
    models: list[weakref.ref[nn.Module]] = []
    token = _being_built.set(models)
    try:
        yield
    finally:
        _being_built.reset(token)
        for model in _alive(models):
            sites = patched_sites(model)
            blocks.follow(sites)
            if sites:
                recording.follow(model, (site.target for site in sites))
            else:
                _detach(model)


def _attach(module: nn.Module) -> None:
    for hook in _HOOKS:
        # On the class: PEFT's inner modules pass unknown names on to the model inside.
        if callable(getattr(type(module), hook.method, None)):
            hook.attach(module)


def _detach(module: nn.Module) -> None:
    unguard(module)
    recording.forget(module)
    for hook in _HOOKS:
        hook.detach(module)


@functools.cache
def _watch_registrations() -> None:
    """Ask PyTorch, once in a process, to be told when a module becomes a child of another one.

    It stays: taking it away could hit a thread that is just building a model. Without patched models it does nothing.
    """
    register_module_module_registration_hook(_on_registration)


def _on_registration(parent: nn.Module, name: str, child: object) -> None:
    if not isinstance(child, nn.Module):
        return
    being_built = _being_built.get()
    if being_built is not None:
        if callable(getattr(type(parent), SavePretrained.method, None)):
            being_built.append(weakref.ref(parent))
            _attach(parent)
        return
    parts = patched_parts(child)
    if parts:
        _attach(parent)
        if gives_other_values(parts):
            guard(parent)
        if adapters.is_peft_model(parent) and any(map(recording.wants_recording, parts)):
            recording.record(parent)  # it may call the forward of the model inside, without its hooks
    elif adapters.is_peft_model(parent):
        LoadAdapter.attach(parent)
