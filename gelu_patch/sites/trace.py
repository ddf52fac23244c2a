"""The runtime proof: run the model once and see every GELU that really executes.

A ``TorchFunctionMode`` sees each call of ``gelu``, and of ``erf``, ``tanh`` and ``sigmoid``, from which models
write GELU by hand. The Python frames above the call say who made it: a site (its module is the ``self`` of a
frame), a callable attribute (the call expression), an expression in a method that is a site (its place in the
source), or code that no site covers.
"""

from __future__ import annotations

import linecache
import re
import sys
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from gelu_patch.activations.gelu import QUICK_SCALE
from gelu_patch.errors import UnsupportedModel
from gelu_patch.sites.base import Site, places
from gelu_patch.sites.inline import Expression
from gelu_patch.sites.inline.methods import Span
from gelu_patch.sites.modes import modes_restored
from gelu_patch.sites.neighbours import Neighbours, is_plain_linear

_TORCH = str(Path(torch.__file__).parent)
_QUICK_IN_SOURCE = re.compile(r"1\.702")
_TANH_IN_SOURCE = re.compile(r"0\.0447|0\.1070|0\.0356774")
_ERF_IN_SOURCE = re.compile(r"erf\(.{0,80}?(sqrt|1\.414|0\.7071|2(\.0)?\s*\*\*\s*0?\.5)", re.DOTALL)


@dataclass(frozen=True)
class UncoveredCall:
    """A GELU that ran and is no site: code in a function. ``owner`` is the module that runs it."""

    activation: str
    file: str
    line: int
    function: str
    owner: str

    @property
    def location(self) -> str:
        """``file:line``, with the path from the package on."""
        parts = Path(self.file).parts
        start = max((i for i, part in enumerate(parts) if part in {"site-packages", "dist-packages"}), default=-1)
        return f"{Path(*parts[start + 1 :])}:{self.line}"


@dataclass(frozen=True)
class Trace:
    """How often each site ran (by site name), the calls that no site covers with their counts, and for each
    site that ran what stands around it."""

    executions: Mapping[str, int]
    uncovered: Mapping[UncoveredCall, int]
    blocks: Mapping[str, str]


def trace(model: nn.Module, sites: Sequence[Site], example_inputs: object) -> Trace:
    """Run ``model`` once on ``example_inputs`` and record every GELU.

    ``example_inputs``: a mapping is passed as keyword arguments, a tuple or list as positional ones, anything
    else as the single argument. The run is without gradients and in eval mode; training flags and random
    states are put back. Raises UnsupportedModel when the run fails.
    """
    recorder = _Recorder(model, sites)
    try:
        with modes_restored(model), torch.no_grad(), torch.random.fork_rng(), recorder.hooks(model, sites), recorder:
            call(model.eval(), example_inputs)
    except Exception as error:
        raise UnsupportedModel(
            f"running {type(model).__name__} on the example inputs failed",
            why=f"{type(error).__name__}: {error}",
            next_step="pass inputs that the model's forward accepts, as a dict of tensors or a tensor",
        ) from error
    executions = {site.name: recorder.calls[site.name] for site in sites}
    return Trace(executions, dict(recorder.uncovered), recorder.neighbours.blocks())


def call(model: nn.Module, inputs: Any) -> object:
    """Run ``model`` on example inputs: a mapping as keywords, a tuple or list as positions, or one argument."""
    if isinstance(inputs, Mapping) or hasattr(inputs, "keys"):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple | list) else model(inputs)


class _Recorder(TorchFunctionMode):
    def __init__(self, model: nn.Module, sites: Sequence[Site]) -> None:
        super().__init__()
        self._names = {id(place.module): place.names[0] for place in places(model)}
        self._site_objects = {id(site.target) for site in sites if isinstance(site.target, nn.Module)}
        self._attributes: dict[tuple[int, str | None], str] = {}
        self._expressions: dict[str, list[tuple[Expression, int, str]]] = {}
        for site in sites:
            for owner in site.owners:
                if isinstance(site.target, Expression):
                    places_in_file = self._expressions.setdefault(site.target.method.file, [])
                    places_in_file.append((site.target, id(owner.parent), site.name))
                elif not isinstance(site.target, nn.Module):
                    self._attributes[id(owner.parent), owner.key] = site.name
        # The last results of `1.702 * x`; held, so that their ids stay theirs.
        self._scaled: deque[object] = deque(maxlen=8)
        self.uncovered: Counter[UncoveredCall] = Counter()
        self.calls: Counter[str] = Counter()
        self.neighbours = Neighbours()

    @contextmanager
    def hooks(self, model: nn.Module, sites: Sequence[Site]) -> Iterator[None]:
        """Count the sites that are modules, and let the neighbours see what passes through these and Linears."""
        modules = [(site.name, site.target) for site in sites if isinstance(site.target, nn.Module)]
        linears = [
            (place.names[0], place.module)
            for place in places(model)
            if isinstance(place.module, nn.Linear) or is_plain_linear(place.module)
        ]
        handles: list[RemovableHandle] = []
        try:
            for name, module in modules:
                handles.append(module.register_forward_pre_hook(partial(self._site_entered, name)))
                handles.append(module.register_forward_hook(partial(self._site_left, name)))
            for name, module in linears:
                handles.append(module.register_forward_pre_hook(partial(self._linear_entered, name)))
                handles.append(module.register_forward_hook(partial(self._linear_left, name)))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _site_entered(self, name: str, module: nn.Module, args: tuple[Any, ...]) -> None:
        self.calls[name] += 1
        self.neighbours.entered(name, args[0] if args else None)

    def _site_left(self, name: str, module: nn.Module, args: tuple[Any, ...], output: object) -> None:
        self.neighbours.left(name, output)

    def _linear_entered(self, name: str, module: nn.Module, args: tuple[Any, ...]) -> None:
        self.neighbours.consumed(name, args[0] if args else None)

    def _linear_left(self, name: str, module: nn.Module, args: tuple[Any, ...], output: object) -> None:
        self.neighbours.produced(name, module, output)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "").strip("_")
        site = self._see(name, args, kwargs, sys._getframe(1)) if name in _SUSPECTS else None
        result = func(*args, **kwargs)
        if site is not None:
            self.calls[site] += 1
            if name == "gelu":  # of a formula this call is only a part
                self.neighbours.entered(site, args[0] if args else kwargs.get("input"))
                self.neighbours.left(site, result)
        if name in {"mul", "rmul"}:
            self.neighbours.multiplied(*args)
            if any(_is_quick_scale(argument) for argument in args):
                self._scaled.append(result)
        return result

    def _see(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], frame: FrameType | None) -> str | None:
        """Return the site that is no module and makes this call; note a GELU that no site covers."""
        caller: FrameType | None = None
        owner: object = None
        reached: list[tuple[int, str]] = []  # the expressions, by module, that the call may belong to
        while frame is not None and owner is None:
            module = frame.f_locals.get("self")
            if id(module) in self._site_objects:
                return None  # counted by its forward hook
            # A module outside of the model, such as the global `transformers.activations.gelu`, is a detour:
            # the inline call is where the model calls it.
            foreign = isinstance(module, nn.Module) and id(module) not in self._names
            if caller is None and not foreign and not frame.f_code.co_filename.startswith(_TORCH):
                caller = frame
            reached += self._expressions_at(frame, innermost=frame is caller)
            if id(module) in self._names:
                owner = module
            frame = frame.f_back
        if caller is None:
            return None
        attribute = self._attributes.get((id(owner), _attribute_called(caller)))
        site = next((name for parent, name in reached if parent == id(owner)), attribute)
        if site is not None:
            return site
        scaled = any(args and args[0] is result for result in self._scaled)
        activation = _SUSPECTS[name](caller.f_code, kwargs, scaled)
        if activation is not None:
            code = caller.f_code
            owner_name = self._names.get(id(owner), "") or type(owner).__name__
            call = UncoveredCall(activation, code.co_filename, caller.f_lineno, code.co_qualname, owner_name)
            self.uncovered[call] += 1
        return None

    def _expressions_at(self, frame: FrameType, innermost: bool) -> list[tuple[int, str]]:
        here = self._expressions.get(frame.f_code.co_filename)
        if here is None:
            return []
        place = _place(frame)
        return [
            (parent, name)
            for expression, parent, name in here
            if expression.call == place or (innermost and expression.found.inside and place in expression.call)
        ]


def _is_quick_scale(argument: object) -> bool:
    return isinstance(argument, float) and abs(argument - QUICK_SCALE) < 1e-6


def _source(code: CodeType) -> str:
    lines = linecache.getlines(code.co_filename)
    last = max((line for _, _, line in code.co_lines() if line), default=code.co_firstlineno)
    return "".join(lines[code.co_firstlineno - 1 : last])


def _place(frame: FrameType) -> Span | None:
    """Where in the source the frame is right now."""
    line, end_line, start, end = next(islice(frame.f_code.co_positions(), frame.f_lasti // 2, None))
    if line is None or end_line is None or start is None or end is None:
        return None
    return Span(line, start, end_line, end)


def _attribute_called(frame: FrameType) -> str | None:
    """Return ``act`` when the running call reads ``something.act(...)``."""
    place = _place(frame)
    if place is None:
        return None
    line = linecache.getline(frame.f_code.co_filename, place.line).encode()
    text = line[place.column :].decode(errors="replace")
    match = re.match(r"[\w.\[\]\"']*?\.(\w+)\(", text)
    return match.group(1) if match else None


def _from_gelu(code: CodeType, kwargs: dict[str, Any], scaled: bool) -> str | None:
    return "gelu_tanh" if kwargs.get("approximate") == "tanh" else "gelu"


def _from_erf(code: CodeType, kwargs: dict[str, Any], scaled: bool) -> str | None:
    return "gelu" if _ERF_IN_SOURCE.search(_source(code)) else None


def _from_tanh(code: CodeType, kwargs: dict[str, Any], scaled: bool) -> str | None:
    return "gelu_tanh" if _TANH_IN_SOURCE.search(_source(code)) else None


def _from_sigmoid(code: CodeType, kwargs: dict[str, Any], scaled: bool) -> str | None:
    return "gelu_quick" if scaled or _QUICK_IN_SOURCE.search(_source(code)) else None


_SUSPECTS = {"gelu": _from_gelu, "erf": _from_erf, "tanh": _from_tanh, "sigmoid": _from_sigmoid}
