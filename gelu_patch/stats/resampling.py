"""The paired bootstrap of any number that follows from labels and predictions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gelu_patch.stats.paired import Interval

IntArray = npt.NDArray[np.int64]

MINIMUM_DISCORDANT = 20


@dataclass(frozen=True)
class ResampledDifference:
    """``difference`` = after - before. ``interval`` is None where too few predictions differ for one to be believed."""

    before: float
    after: float
    interval: Interval | None
    discordant: int

    @property
    def difference(self) -> float:
        """How much larger the number is after."""
        return self.after - self.before


def paired_percentile(
    metric: Callable[[IntArray, IntArray], float],
    label: IntArray,
    before: IntArray,
    after: IntArray,
    *,
    groups: npt.ArrayLike | None = None,
    resamples: int = 1_000,
    seed: int = 0,
    level: float = 0.95,
) -> ResampledDifference:
    """Compare ``metric(labels, predictions)`` of two arms by the percentile bootstrap of examples ``(n,)``, in pairs.

    Whole ``groups`` are drawn where they are given. With fewer than 20 predictions that differ, percentile
    intervals are too short far too often, and there is none. Raises ValueError on unequal rows. (Efron and Tibshirani,
    An Introduction to the Bootstrap, 13.3.)
    """
    if not len(label) == len(before) == len(after) or not len(label):
        raise ValueError(f"need equal rows, got {len(label)}, {len(before)} and {len(after)}")
    found = ResampledDifference(metric(label, before), metric(label, after), None, int((before != after).sum()))
    if found.discordant < MINIMUM_DISCORDANT:
        return found
    names = np.arange(len(label)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    order = np.argsort(names, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(names[order])) + 1)
    generator = np.random.default_rng(seed)
    differences = np.empty(resamples)
    for number in range(resamples):
        drawn = np.concatenate([members[i] for i in generator.integers(0, len(members), len(members))])
        differences[number] = metric(label[drawn], after[drawn]) - metric(label[drawn], before[drawn])
    low, high = np.nanquantile(differences, [(1 - level) / 2, (1 + level) / 2])
    return ResampledDifference(found.before, found.after, (float(low), float(high)), found.discordant)
