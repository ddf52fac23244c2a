"""Entry points: the calls that together run as much of a model as its inputs reach."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .inputs.context import Context, parameters_of
from .inputs.guess import Arguments, CannotGuess, guesses
from .inputs.multimodal import Tower, as_asked, combined, towers


@dataclass(frozen=True)
class Call:
    """One call of one method; ``path`` leads from the model to the method's owner."""

    path: str
    method: str
    arguments: Arguments

    def run(self, model: torch.nn.Module) -> Any:
        """Call the method on copies of the arguments: some models write into what they are given."""
        owner = getattr(model, self.path) if self.path else model
        arguments = copy.deepcopy(self.arguments)
        return owner(**arguments) if self.method == "forward" else getattr(owner, self.method)(**arguments)

    def __str__(self) -> str:
        return f"{self.method}({', '.join(self.arguments)})"


class Everything(torch.nn.Module):
    """Runs all calls in one forward without arguments, so that one trace sees everything."""

    def __init__(self, model: torch.nn.Module, calls: tuple[Call, ...]) -> None:
        super().__init__()
        self.model = model
        self.calls = calls

    def forward(self) -> list[Any]:
        """Return the results of the calls; each starts from the same random state."""
        results = []
        for call in self.calls:
            seed()
            results.append(call.run(self.model))
        return results


def seed() -> None:
    """Put every source of random numbers into the same state: models sample, mask and draw projections."""
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)


def find_calls(model: torch.nn.Module, config: Any) -> tuple[Call, ...]:
    """Return the calls that run: the forward with as many modalities as possible, then the towers it left out.

    Raises the error of the likeliest guess when no forward runs.
    """
    found = towers(model, config)
    first: Exception | None = None
    for arguments in _forwards(model, config, found):
        call = Call("", "forward", arguments)
        error = _error(model, call)
        corrected = as_asked(model, config, arguments, str(error)) if error else None
        if corrected is not None:
            call = Call("", "forward", corrected)
            error = _error(model, call)
        if error is not None:
            first = first or error
            continue
        missing = [tower for tower in found if not set(tower.arguments) & set(arguments)]
        return (call, *(Call(tower.path, tower.getter, tower.arguments) for tower in missing))
    raise first or CannotGuess("the forward has no parameter that can be made")


def _error(model: torch.nn.Module, call: Call) -> Exception | None:
    try:
        with torch.no_grad():
            seed()
            call.run(model)
    except Exception as error:
        return error
    return None


def _signed(model: torch.nn.Module) -> Any:
    """The function with the signature: wrappers pass everything on to their decoder."""
    return model.forward if parameters_of(model.forward) else getattr(model, "decoder", model).forward


def _forwards(model: torch.nn.Module, config: Any, found: list[Tower]) -> Iterator[Arguments]:
    if found:
        yield from combined(model, config, found)
    for batch in (2, 1):
        yield from guesses(Context(_signed(model), config, batch=batch))
    # What is left of a model of several modalities: its text alone.
    if found or hasattr(model, "get_image_features"):
        context = Context(model.forward, config, batch=1)
        yield {"input_ids": context.tokens(1, context.length)}
