"""The runtime proof: run the model once and see every GELU that really executes.

A ``TorchFunctionMode`` sees each call of ``gelu``, and of ``erf``, ``tanh`` and ``sigmoid``, from which models
write GELU by hand. The Python frames above the call say who made it: a site (its module is the ``self`` of a
frame), a callable attribute (the call expression), or code written inside a forward: an inline call.
"""

from __future__ import annotations

import linecache
import re
import sys
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from gelu_patch.activations.gelu import QUICK_SCALE
from gelu_patch.errors import UnsupportedModel
from gelu_patch.sites.base import Site, places
from gelu_patch.sites.modes import modes_restored

_TORCH = str(Path(torch.__file__).parent)
_QUICK_IN_SOURCE = re.compile(r"1\.702")
_TANH_IN_SOURCE = re.compile(r"0\.0447|0\.1070|0\.0356774")
_ERF_IN_SOURCE = re.compile(r"erf\(.{0,80}?(sqrt|1\.414|0\.7071|2(\.0)?\s*\*\*\s*0?\.5)", re.DOTALL)


@dataclass(frozen=True)
class InlineCall:
    """A GELU that is code in a function, not an object of the model. ``owner`` is the module that runs it."""

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
    """How often each site ran (by site name), and the inline calls with their counts."""

    executions: Mapping[str, int]
    inline: Mapping[InlineCall, int]


def trace(model: nn.Module, sites: Sequence[Site], example_inputs: object) -> Trace:
    """Run ``model`` once on ``example_inputs`` and record every GELU.

    ``example_inputs``: a mapping is passed as keyword arguments, a tuple or list as positional ones, anything
    else as the single argument. The run is without gradients and in eval mode; training flags and random
    states are put back. Raises UnsupportedModel when the run fails.
    """
    recorder = _Recorder(model, sites)
    counts: Counter[str] = Counter()
    handles = [
        site.target.register_forward_hook(lambda *_, name=site.name: counts.update([name]))
        for site in sites
        if isinstance(site.target, nn.Module)
    ]
    try:
        with modes_restored(model), torch.no_grad(), torch.random.fork_rng(), recorder:
            _call(model.eval(), example_inputs)
    except Exception as error:
        raise UnsupportedModel(
            f"running {type(model).__name__} on the example inputs failed",
            why=f"{type(error).__name__}: {error}",
            next_step="pass inputs that the model's forward accepts, as a dict of tensors or a tensor",
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    counts.update(recorder.attribute_calls)
    return Trace({site.name: counts[site.name] for site in sites}, dict(recorder.inline))


def _call(model: nn.Module, inputs: Any) -> object:
    if isinstance(inputs, Mapping) or hasattr(inputs, "keys"):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple | list) else model(inputs)


class _Recorder(TorchFunctionMode):
    def __init__(self, model: nn.Module, sites: Sequence[Site]) -> None:
        super().__init__()
        self._names = {id(place.module): place.names[0] for place in places(model)}
        self._site_objects = {id(site.target) for site in sites if isinstance(site.target, nn.Module)}
        self._attributes: dict[tuple[int, str | None], str] = {
            (id(owner.parent), owner.key): site.name
            for site in sites
            for owner in site.owners
            if not isinstance(site.target, nn.Module)
        }
        # The last results of `1.702 * x`; held, so that their ids stay theirs.
        self._scaled: deque[object] = deque(maxlen=8)
        self.inline: Counter[InlineCall] = Counter()
        self.attribute_calls: Counter[str] = Counter()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "").strip("_")
        if name in _SUSPECTS:
            self._see(name, args, kwargs, sys._getframe(1))
        result = func(*args, **kwargs)
        if name in {"mul", "rmul"} and any(_is_quick_scale(argument) for argument in args):
            self._scaled.append(result)
        return result

    def _see(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], frame: FrameType | None) -> None:
        caller: FrameType | None = None
        owner: object = None
        while frame is not None:
            module = frame.f_locals.get("self")
            if id(module) in self._site_objects:
                return  # counted by its forward hook
            # A module outside of the model, such as the global `transformers.activations.gelu`, is a detour:
            # the inline call is where the model calls it.
            foreign = isinstance(module, nn.Module) and id(module) not in self._names
            if caller is None and not foreign and not frame.f_code.co_filename.startswith(_TORCH):
                caller = frame
            if owner is None and id(module) in self._names:
                owner = module
            frame = frame.f_back
        if caller is None:
            return
        attribute = self._attributes.get((id(owner), _attribute_called(caller)))
        if attribute is not None:
            self.attribute_calls[attribute] += 1
            return
        scaled = any(args and args[0] is result for result in self._scaled)
        activation = _SUSPECTS[name](caller.f_code, kwargs, scaled)
        if activation is not None:
            code = caller.f_code
            owner_name = self._names.get(id(owner), "") or type(owner).__name__
            call = InlineCall(activation, code.co_filename, caller.f_lineno, code.co_qualname, owner_name)
            self.inline[call] += 1


def _is_quick_scale(argument: object) -> bool:
    return isinstance(argument, float) and abs(argument - QUICK_SCALE) < 1e-6


def _source(code: CodeType) -> str:
    lines = linecache.getlines(code.co_filename)
    last = max((line for _, _, line in code.co_lines() if line), default=code.co_firstlineno)
    return "".join(lines[code.co_firstlineno - 1 : last])


def _attribute_called(frame: FrameType) -> str | None:
    """Return ``act`` when the running call reads ``something.act(...)``."""
    positions = list(frame.f_code.co_positions())[frame.f_lasti // 2]
    line, _, start, _ = positions
    if line is None or start is None:
        return None
    text = linecache.getline(frame.f_code.co_filename, line).encode()[start:].decode(errors="replace")
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
