"""Many numbers made few enough for ``report.json``: what a plot needs, and no more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gelu_patch.reporting.schema import Histogram

MOST_POINTS = 200
# Quarter decades: the same edges for every histogram, so that two of them can be laid over each other.
_PER_DECADE, _FIRST_DECADE, _LAST_DECADE = 4, -9, 4


def histogram(values: Sequence[float] | np.ndarray[Any, Any]) -> Histogram:
    """Count positive ``values`` in quarter decades from 1e-9 to 1e4; what lies beyond is in the last bin.

    Empty bins at both ends are left out. Values at or below 1e-9 are ``zeros``. NaN are not counted.
    """
    found = np.asarray(values, np.float64)
    found = found[~np.isnan(found)]
    exponents = np.arange(_PER_DECADE * _FIRST_DECADE, _PER_DECADE * _LAST_DECADE + 1) / _PER_DECADE
    edges = 10.0**exponents
    positive = found[found > edges[0]]
    counts, _ = np.histogram(np.minimum(positive, edges[-1]), edges)
    (used,) = np.nonzero(counts)
    if not len(used):
        return Histogram(zeros=len(found))
    first, last = int(used[0]), int(used[-1]) + 1
    return Histogram(
        edges=[float(edge) for edge in edges[first : last + 1]],
        counts=[int(count) for count in counts[first:last]],
        zeros=len(found) - len(positive),
    )


def quantiles(values: Sequence[float] | np.ndarray[Any, Any], most: int = MOST_POINTS) -> list[float]:
    """Return at most ``most`` quantiles at evenly spaced shares from 0 to 1."""
    found = np.asarray(values, np.float64)
    if not len(found):
        return []
    return [float(value) for value in np.quantile(found, np.linspace(0, 1, min(len(found), most)))]


def medians(values: Sequence[float] | np.ndarray[Any, Any], most: int = MOST_POINTS) -> list[float]:
    """Return the medians of at most ``most`` equally long stretches of ``values``, in their order."""
    found = np.asarray(values, np.float64)
    if not len(found):
        return []
    return [float(np.median(part)) for part in np.array_split(found, min(len(found), most))]
