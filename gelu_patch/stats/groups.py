"""Examples that belong together (questions about one text, sentences of one document) are not independent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class GroupedDifferences:
    """Paired differences, one per group. Their mean is the mean over the examples.

    ``values[g]`` = mean + (G/n)·Σ(d - mean) over group ``g``: the linearised ratio estimator, so groups of unequal size
    weigh as many examples as they have (W. G. Cochran, Sampling Techniques, 3rd ed., 9A). ``design_effect`` is the
    variance of the mean over groups divided by that of independent examples, at least 1.
    """

    values: FloatArray
    design_effect: float


def by_group(differences: npt.ArrayLike, groups: npt.ArrayLike) -> GroupedDifferences:
    """Gather differences ``(n,)`` by the names ``groups`` ``(n,)``. Raises ValueError on unequal rows."""
    d, names = np.asarray(differences, np.float64), np.asarray(groups)
    if d.ndim != 1 or d.shape != names.shape or not len(d):
        raise ValueError(f"need two equal rows, got shapes {d.shape} and {names.shape}")
    unique, of = np.unique(names, return_inverse=True)
    mean, n, count = d.mean(), len(d), len(unique)
    values = mean + np.bincount(of, weights=d - mean, minlength=count) * count / n
    alone = d.var(ddof=1) / n if n > 1 else 0.0
    together = values.var(ddof=1) / count if count > 1 else 0.0
    return GroupedDifferences(values, max(1.0, float(together / alone)) if alone > 0 else 1.0)
