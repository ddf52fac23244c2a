"""Finds the constant C and the sixteen quotients 2^(k/16) / C of vector_avx512.h, and prints them.

    python tools/find_power_table.py

C is the float in [1.87, 1.955) for which the quotients, rounded to floats, have the smallest largest relative error.
There C 2^f lies in [1.83, 2) for all |f| <= 1/32, the end of a binade where a rounding weighs least.
"""

from __future__ import annotations

import numpy as np

RANGE = (1.87, 1.955)


def main() -> None:
    """Print C, its error in units of 2^-24, and the table."""
    first, last = np.array(RANGE, dtype=np.float32).view(np.int32)
    candidates = np.arange(first, last, dtype=np.int32).view(np.float32).astype(np.float64)
    powers = 2.0 ** (np.arange(16) / 16)
    worst = np.zeros_like(candidates)
    for power in powers:
        exact = power / candidates
        worst = np.maximum(worst, np.abs(exact.astype(np.float32) / exact - 1))
    constant = float(candidates[worst.argmin()])
    print(f"{constant:.9g}  error {worst.min() * 2**24:.3f}")
    print(", ".join(f"{np.float32(power / constant):.9g}f" for power in powers))


if __name__ == "__main__":
    main()
