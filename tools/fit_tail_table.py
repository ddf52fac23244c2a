"""Fits the table of the scaled normal tail that the AVX-512 kernels look up, and prints it as a C header.

    python tools/fit_tail_table.py > gelu_patch/kernels/cpu/source/tail_table.h

M(t) = exp(t^2/2) Phi(-t) on 0 <= t < 15, one polynomial in t - centre per segment, minimax in relative error by
iteratively reweighted least squares (Lawson) on Chebyshev nodes. The segments are the quarters of the octaves of t + 1.
"""

from __future__ import annotations

import itertools

import mpmath
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
mpmath.mp.dps = 40
NODES = 80
CANDIDATES = 20
DEGREE_32, DEGREE_16 = 6, 4
FIRST = 12  # bits 21 to 24 of the float 1.0, the number of the segment that begins at t = 0


def tail(t: float) -> float:
    """M(t), computed in 40 digits or more."""
    exact = mpmath.mpf(t)
    return float(mpmath.erfc(exact / mpmath.sqrt(2)) / 2 * mpmath.exp(exact * exact / 2))


def fit(low: float, high: float, centre: float, degree: int) -> tuple[Array, float]:
    """Return the coefficients (ascending) and the largest relative error."""
    nodes = (low + high) / 2 + (high - low) / 2 * np.cos(np.pi * (np.arange(NODES) + 0.5) / NODES)
    truth = np.array([tail(node) for node in nodes])
    scale = max(abs(low - centre), abs(high - centre))
    powers = ((nodes - centre)[:, None] / scale) ** np.arange(degree + 1) / truth[:, None]
    weights, best, smallest = np.ones(NODES), np.zeros(degree + 1), np.inf
    for _ in range(200):
        found = np.linalg.lstsq(powers * weights[:, None], weights, rcond=None)[0]
        error = np.abs(powers @ found - 1)
        if error.max() < smallest:
            best, smallest = found, float(error.max())
        weights *= np.sqrt(error / error.max() + 1e-3)
        weights /= weights.max()
    return best / scale ** np.arange(degree + 1), smallest


def segments() -> list[tuple[float, float, float]]:
    """(low, high, centre) of the sixteen segments; the first is centred on 0, where t - centre must be exact.

    The other centres lie where the constant coefficient is nearly a float, which spares the result one rounding.
    """
    edges = [2.0**octave * (1 + quarter / 4) - 1 for octave in range(4) for quarter in range(4)] + [15.0]
    return [(low, high, centre(low, high) if low else 0.0) for low, high in itertools.pairwise(edges)]


def centre(low: float, high: float) -> float:
    """The best of the floats around the middle."""
    middle = np.float32((low + high) / 2)
    candidates = [float(middle + np.float32(step) * np.spacing(middle)) for step in range(-CANDIDATES, CANDIDATES)]

    def lost(candidate: float) -> float:
        constant = fit(low, high, candidate, DEGREE_32)[0][0]
        return abs(float(np.float32(constant)) / constant - 1)

    return min(candidates, key=lost)


def literal(value: float) -> str:
    """A C literal of the nearest float."""
    return repr(float(f"{np.float32(value):.9g}")) + "f"


def row(values: list[float]) -> str:
    """A C initialiser, each segment at the place that its number has in a register."""
    placed = [literal(values[(number - FIRST) % 16]) for number in range(16)]
    return "{" + ",\n     ".join(", ".join(placed[at : at + 4]) for at in (0, 4, 8, 12)) + "}"


def table(name: str, degree: int, found: list[tuple[float, float, float]]) -> str:
    """A C array: row k holds the coefficients of the k-th power."""
    fits = [fit(*segment, degree) for segment in found]
    worst = max(error for _, error in fits)
    rows = [row([float(coefficients[power]) for coefficients, _ in fits]) for power in range(degree + 1)]
    head = f"/* Largest relative error {worst:.1e} before rounding. */\n"
    return head + f"static const float {name}[{degree + 1}][16] ALIGNED = {{\n    " + ",\n    ".join(rows) + "};\n"


def main() -> None:
    """Print the header."""
    found = segments()
    print("/* Written by tools/fit_tail_table.py, which explains it. */")
    print("#define ALIGNED __attribute__((aligned(64)))")
    print(f"static const float TAIL_CENTRES[16] ALIGNED =\n    {row([middle for _, _, middle in found])};\n")
    print(table("TAIL_TABLE", DEGREE_32, found))
    print(table("TAIL_TABLE_16", DEGREE_16, found), end="")


if __name__ == "__main__":
    main()
