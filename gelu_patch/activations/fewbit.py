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
_DEFAULT_BITS = 4

STEPS: dict[str, Steps] = {}


def _register(bits: int, rms: float, largest: float) -> None:
    steps = Steps(bits, *TABLES[bits])
    short = "gelu_fewbit"
    name = short if bits == _DEFAULT_BITS else f"{short}{bits}"
    STEPS[name] = steps
    register_activation(
        Activation(
            name=name,
            formula=GELU.formula,
            derivative=steps,
            summary=f"exact GELU; its derivative has {2**bits} levels, {bits} bits kept of an element",
            source="arXiv:2202.00441, section 3",
            use="training where a dropout follows the activation, so that its output is kept anyway",
            family="gelu",
            approximates=ApproximateDerivative(GELU.name, rms, largest),
        ),
        aliases=(f"{short}{bits}",) if name == short else (),
    )


for _bits, (_rms, _largest) in sorted(_ERRORS.items(), reverse=True):
    _register(_bits, _rms, _largest)
