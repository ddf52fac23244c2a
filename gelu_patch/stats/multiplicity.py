"""Several questions at once."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted for their number, in their order (S. Holm, Scand. J. Statist. 6 (1979) 65-70).

    An adjusted p below a level means "different at that level, whichever of these questions one picks".
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def holm_levels(p_values: Sequence[float], alpha: float = 0.05) -> list[float]:
    """Return the two-sided error of each interval that goes with Holm's test at ``alpha``, in the order given.

    The i-th smallest of m p-values is held against alpha / (m - i + 1), up to the first that is above its bound; all
    later ones get that bound. An interval of such an error leaves out zero exactly where Holm's adjusted p is at most
    ``alpha``. So the chance that any interval wrongly leaves out zero is at most ``alpha``; that all of them cover
    their true differences at once is what Bonferroni's wider ones (alpha / m each) promise, and these do not.
    """
    order, m = sorted(range(len(p_values)), key=lambda i: p_values[i]), len(p_values)
    levels, stopped = [0.0] * m, False
    level = alpha
    for rank, i in enumerate(order):
        if not stopped:
            level = alpha / (m - rank)
            stopped = p_values[i] > level
        levels[i] = level
    return levels
