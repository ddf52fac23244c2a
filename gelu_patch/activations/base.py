"""What an activation is: its mathematics in float64, and nothing about devices, kernels or models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from gelu_patch.registry import Registry

Array = npt.NDArray[np.float64]
Formula = Callable[[Array], Array]

# Where distances are measured: beyond it the GELU forms agree with 0 or x to 1e-14 (gelu_10: up to x = 10).
DISTANCE_RANGE = (-8.0, 8.0)
DISTANCE_POINTS = 160_001  # a spacing of 1e-4


@dataclass(frozen=True)
class Distance:
    """The largest absolute difference from exact GELU on ``DISTANCE_RANGE``, and the x where it occurs."""

    max_abs: float
    at: float


@dataclass(frozen=True)
class ApproximateDerivative:
    """Says that an activation has the values of another one, called ``of``, and only approximately its derivative.

    ``rms`` is the error's root mean square for x under the normal distribution N(0, 1), ``largest`` its maximum.
    """

    of: str
    rms: float
    largest: float


@dataclass(frozen=True)
class Activation:
    """One elementwise function.

    ``formula`` and ``derivative`` map float64 arrays of any shape to float64 arrays of the same shape; they
    are the truth that every kernel is tested against. ``family`` is "gelu" for exact GELU and its
    approximations, which are the sites that a patch looks for; other activations are only targets.
    ``source`` names the paper and section of the formula; ``use`` says when one would choose it. ``kinks`` are the x
    where the derivative jumps: there its value is a convention, and kernels are not checked. ``approximates`` is set
    where ``derivative`` is on purpose not that of ``formula``.
    """

    name: str
    formula: Formula
    derivative: Formula
    summary: str
    source: str
    use: str = ""
    family: str = "other"
    kinks: tuple[float, ...] = ()
    approximates: ApproximateDerivative | None = None

    @property
    def is_gelu(self) -> bool:
        """Whether this is GELU or an approximation of it."""
        return self.family == "gelu"

    @property
    def values(self) -> str:
        """The name of the activation whose values this one has: its own, unless only its derivative differs."""
        return self.approximates.of if self.approximates else self.name

    @cached_property
    def distance(self) -> Distance:
        """The measured distance from exact GELU (the erf form)."""
        x = np.linspace(*DISTANCE_RANGE, DISTANCE_POINTS)
        error = np.abs(self.formula(x) - activations.get("gelu").formula(x))
        worst = int(error.argmax())
        return Distance(float(error[worst]), float(x[worst]))


activations: Registry[Activation] = Registry("activation")


def register_activation(activation: Activation, *, aliases: tuple[str, ...] = ()) -> Activation:
    """Make ``activation`` known under its name and ``aliases`` everywhere: patching, CLI, tests, tables.

    Raises UsageError when a name is taken. To be run, it also needs a kernel that computes it
    (``register_kernel``).
    """
    return activations.register(activation, aliases=aliases)
