"""What is to be measured: everything that a fresh process must know."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from gelu_patch.errors import UnknownName
from gelu_patch.memory import DEFAULT, Memory
from gelu_patch.reporting.storage.timings import Cell
from gelu_patch.timing.analysis import MARGIN
from gelu_patch.timing.devices import require_device
from gelu_patch.timing.inputs import Inputs, check_length, default_shapes, make_inputs, on_device_of
from gelu_patch.timing.latency import Effort
from gelu_patch.timing.shapes import Phase, Shape
from gelu_patch.timing.workloads import NEW_TOKENS

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, kw_only=True)
class Job:
    """One measurement. It is sent to other processes by pickle, so ``load`` is a function of a module, or a partial.

    ``load`` returns the stock model; ``device`` and ``dtype`` None leave it where and as it is. ``shapes`` None are the
    default ones of the model, ``inputs`` those of each shape when they are not made up. ``n_pairs`` and ``max_pairs``
    are of each process; ``max_seconds`` of each shape and phase in all ``processes`` together.
    """

    load: Callable[[], nn.Module]
    targets: tuple[str, ...]
    shapes: tuple[Shape, ...] | None = None
    phases: tuple[Phase, ...] = ("forward",)
    device: str | None = None
    dtype: str | None = None
    threads: int | None = None
    compiled: bool = False
    memory: Memory = DEFAULT
    n_pairs: int = 100
    max_pairs: int = 1000
    max_seconds: float = math.inf
    processes: int = 3
    margin: float = MARGIN
    seed: int = 0
    new_tokens: int = NEW_TOKENS
    inputs: Mapping[Shape, Inputs] | None = None

    def model(self) -> nn.Module:
        """Load the model, on the device and in the dtype of the job, with its number of threads.

        Raises EnvironmentProblem when the device is not there, UnknownName for a dtype that is none.
        """
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        if self.dtype is not None and self.dtype not in DTYPES:
            raise UnknownName.of("dtype", self.dtype, DTYPES)
        device = None if self.device is None else require_device(self.device)
        return self.load().to(device=device, dtype=DTYPES[self.dtype] if self.dtype else None).eval()

    def cells(self, model: nn.Module) -> list[Cell]:
        """Return every phase at every shape. Raises what ``check_length`` raises."""
        shapes = self.shapes or default_shapes(model)
        for shape in shapes:
            for phase in self.phases:
                check_length(model, shape, phase, self.new_tokens)
        return [Cell(shape, phase) for shape in shapes for phase in self.phases]

    def inputs_for(self, model: nn.Module, shape: Shape) -> Inputs:
        """Return the inputs of a shape, on the model's device."""
        if self.inputs is not None:
            return on_device_of(model, self.inputs[shape])
        return make_inputs(model, shape, self.seed)

    @property
    def effort(self) -> Effort:
        """What one process spends on one cell: its share, and a control that all processes together make narrow."""
        return Effort(
            n_pairs=self.n_pairs,
            max_pairs=max(self.n_pairs, self.max_pairs),
            max_seconds=self.max_seconds / self.processes,
            half_width=self.margin / 2 * math.sqrt(self.processes),
        )


def device_of(model: nn.Module) -> torch.device:
    """Return where the model's first parameter is."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
