"""The verb ``benchmark``: stock against patched, on one model, in one session."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from torch import nn

from gelu_patch.errors import UsageError
from gelu_patch.reporting.schema import Latency, Memory
from gelu_patch.timing.arms import arms_of
from gelu_patch.timing.latency import OnRound, measure_latency
from gelu_patch.timing.memory import measure_saved
from gelu_patch.timing.workloads import Inputs, Phase, Shape, runner, text_inputs


@dataclass(frozen=True)
class Benchmark:
    """Latency and memory entries by arm; the first arm is ``stock``, the baseline of every ratio."""

    latency: dict[str, list[Latency]] = field(default_factory=dict)
    memory: dict[str, list[Memory]] = field(default_factory=dict)

    @property
    def arms(self) -> list[str]:
        """The names of the arms, the baseline first."""
        return list(self.latency)

    def __str__(self) -> str:
        lines = []
        for arm in self.arms:
            for entry in self.latency[arm]:
                ratio = "baseline"
                if entry.ratio is not None and entry.ratio_ci is not None:
                    ratio = f"ratio {entry.ratio:.3f} [{entry.ratio_ci[0]:.3f}, {entry.ratio_ci[1]:.3f}]"
                shape = "x".join(map(str, entry.shape))
                lines.append(f"{arm:<12} {entry.phase} {shape}: {entry.p50 * 1e3:.2f} ms  {ratio}")
            for kept in self.memory[arm]:
                mebibytes = (kept.saved_for_backward_bytes or 0) / 2**20
                lines.append(f"{arm:<12} saved for backward: {mebibytes:.1f} MiB")
        return "\n".join(lines)


def benchmark(
    model: nn.Module,
    to: Iterable[str] = ("gelu_fused",),
    *,
    shapes: Sequence[Shape] = ((1, 128), (8, 128)),
    phases: Sequence[Phase] = ("forward",),
    n_pairs: int = 100,
    max_pairs: int | None = None,
    max_seconds: float = math.inf,
    seed: int = 0,
    inputs: Callable[[Shape], Inputs] | None = None,
    on_round: OnRound | None = None,
) -> Benchmark:
    """Measure ``model`` as it is and with each target of ``to``, at every shape ``(batch, seq)`` and phase.

    Latency is measured interleaved with an A/A control (see ``timing.latency``), over ``n_pairs`` rounds, and on
    a noisy machine over up to ``max_pairs``, as long as a shape takes less than ``max_seconds``; memory in one
    forward of each arm. ``inputs`` makes the model's inputs for a shape (default: random tokens). ``model`` is
    not changed.
    Raises UsageError for an empty list of shapes, UnsupportedModel when no inputs can be made.
    """
    if not shapes or n_pairs < 2:
        raise UsageError("benchmark needs at least one shape and two pairs", next_step="shapes=[(8, 128)]")
    make = inputs or (lambda shape: text_inputs(model, shape, seed))
    arms = arms_of(model, to)
    result = Benchmark({arm: [] for arm in arms}, {arm: [] for arm in arms})
    for shape in shapes:
        batch = make(shape)
        for phase in phases:
            runs = {arm: runner(module, batch, phase) for arm, module in arms.items()}
            entries = measure_latency(
                runs,
                shape=shape,
                phase=phase,
                n_pairs=n_pairs,
                max_pairs=max_pairs,
                max_seconds=max_seconds,
                seed=seed,
                on_round=on_round,
            )
            for arm, entry in entries.items():
                result.latency[arm].append(entry)
    largest = max(shapes, key=lambda shape: shape[0] * shape[1])
    for arm, module in arms.items():
        result.memory[arm].append(measure_saved(module, make(largest), largest))
    return result
