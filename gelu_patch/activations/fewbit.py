"""Exact GELU whose derivative is a step function of 2^bits levels, so that training keeps few bits of an element.

The values are those of ``gelu``; the gradient is another one. Approach: Novikov et al., arXiv:2202.00441.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gelu_patch.activations.base import Activation, ApproximateDerivative, Array, register_activation
from gelu_patch.activations.fewbit_table import TABLES
from gelu_patch.activations.gelu import GELU


@dataclass(frozen=True)
class Steps:
    """``levels[codes[the interval that x is in]]``; an interval includes its upper end. All numbers are float32."""

    bits: int
    boundaries: tuple[float, ...]
    codes: tuple[int, ...]
    levels: tuple[float, ...]

    def __call__(self, x: Array) -> Array:
        """The derivative at x, of the same shape."""
        interval = np.searchsorted(np.array(self.boundaries), x)
        return np.asarray(np.array(self.levels)[np.array(self.codes)[interval]])


# By bits: the error of the derivative (root mean square under N(0, 1), and largest anywhere).
_ERRORS = {2: (0.090, 0.188), 3: (0.044, 0.090), 4: (0.022, 0.045)}
_NAME, _DEFAULT_BITS = "gelu_fewbit", 4  # the name without a number


def with_steps(steps: Steps) -> Activation:
    """Return exact GELU whose derivative is ``steps``; what the package has is registered below."""
    levels = len(steps.levels)
    return Activation(
        name=_NAME if steps.bits == _DEFAULT_BITS else f"{_NAME}{steps.bits}",
        formula=GELU.formula,
        derivative=steps,
        summary=f"exact GELU; its derivative has {levels} levels, {steps.bits} bits kept of an element",
        source="arXiv:2202.00441, section 3",
        use="training where a dropout follows the activation, so that its output is kept anyway",
        family="gelu",
        approximates=ApproximateDerivative(GELU.name, *_ERRORS[steps.bits]),
    )


STEPS: dict[str, Steps] = {}

for _bits, _table in sorted(TABLES.items(), reverse=True):
    _steps = Steps(_bits, *_table)
    _activation = register_activation(
        with_steps(_steps), aliases=(f"{_NAME}{_bits}",) if _bits == _DEFAULT_BITS else ()
    )
    STEPS[_activation.name] = _steps
