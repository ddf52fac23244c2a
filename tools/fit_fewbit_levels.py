"""Fits the step functions that stand for GELU's derivative in ``gelu_fewbit``, and prints them as a Python module.

    python tools/fit_fewbit_levels.py > gelu_patch/activations/fewbit_table.py

2^bits levels that minimise the mean squared error of the derivative d(x) for x under the normal distribution N(0, 1):
Lloyd's iteration on the values of d, started from equal steps. Every x takes the level nearest to d(x); since d is not
monotone, a level may serve several intervals of x. All numbers are float32, so that every dtype compares alike.
After Novikov et al., "Few-bit backward", arXiv:2202.00441, section 3, who use one interval of x for a level.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import ndtr

Array = npt.NDArray[np.float64]
X = np.linspace(-8.0, 8.0, 1_600_001)
WEIGHT = np.exp(-0.5 * X * X)
ITERATIONS = 10_000
HEADER = '''"""Written by tools/fit_fewbit_levels.py: bits -> (boundaries in x, codes of the intervals, levels)."""

# fmt: off
TABLES: dict[int, tuple[tuple[float, ...], tuple[int, ...], tuple[float, ...]]] = {'''


def derivative(x: Array) -> Array:
    """GELU's own: Phi(x) + x phi(x)."""
    return np.asarray(ndtr(x) + x * np.exp(-0.5 * x * x) / np.sqrt(2.0 * np.pi))


def levels_of(bits: int) -> Array:
    """The best levels, ascending."""
    d = derivative(X)
    levels = np.linspace(d.min(), d.max(), 2 ** (bits + 1) + 1)[1::2]
    for _ in range(ITERATIONS):
        code = np.searchsorted((levels[1:] + levels[:-1]) / 2, d)
        better = np.bincount(code, WEIGHT * d) / np.bincount(code, WEIGHT)
        better = (better + 1.0 - better[::-1]) / 2  # d(-x) = 1 - d(x)
        if np.abs(better - levels).max() < 1e-12:
            break
        levels = better
    return levels


def crossings(value: float) -> list[float]:
    """Every x where the derivative is ``value``."""
    x = X[::100]
    above = derivative(x) > value
    places = np.flatnonzero(above[1:] != above[:-1])
    return [brentq(lambda t: float(derivative(np.array(t))) - value, x[i], x[i + 1]) for i in places]


def table(bits: int) -> tuple[list[float], list[int], list[float]]:
    """The boundaries, the code of every interval between them, and the levels."""
    levels = levels_of(bits)
    between = (levels[1:] + levels[:-1]) / 2
    boundaries = sorted(x for value in between for x in crossings(value))
    middles = (np.array([X[0], *boundaries]) + np.array([*boundaries, X[-1]])) / 2
    codes = np.searchsorted(between, derivative(middles))
    boundaries = [0.0 if abs(x) < 1e-12 else x for x in boundaries]
    return [float(np.float32(x)) for x in boundaries], codes.tolist(), [float(np.float32(x)) for x in levels]


def main() -> None:
    """Print the module."""
    print(HEADER)
    for bits in (2, 3, 4):
        print(f"    {bits}: (")
        for part in table(bits):
            lines = [", ".join(map(repr, part[start : start + 4])) for start in range(0, len(part), 4)]
            print("        (\n" + "".join(f"            {line},\n" for line in lines) + "        ),")
        print("    ),")
    print("}")


if __name__ == "__main__":
    main()
