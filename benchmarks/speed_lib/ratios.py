"""How many times as fast one arm is as another, and what may be said about it. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gelu_patch.stats.timing import paired_ratio

# "Not slower" cannot be shown without a margin: two equal arms have an interval around 1.
MARGIN = 0.02


@dataclass(frozen=True)
class Speed:
    """Time of the other arm over time of ours: median over the rounds, its 95 % interval, ratio of the minima."""

    ratio: float
    low: float
    high: float
    of_minima: float

    def __str__(self) -> str:
        return f"{self.ratio:.3f} [{self.low:.3f}, {self.high:.3f}]"


def speed(samples: Mapping[str, Sequence[float]], ours: str, other: str) -> Speed:
    """Compare two arms that were sampled in the same rounds."""
    found = paired_ratio([samples[ours]], [samples[other]])
    return Speed(found.ratio, *found.interval, min(samples[other]) / min(samples[ours]))


def noise(control: Speed | None) -> float:
    """Return how far the A/A control, an arm against itself, reaches from 1; 0 where there was none."""
    return 0.0 if control is None else max(1 - control.low, control.high - 1, 0.0)


def side(found: Speed, level: float, control: Speed | None) -> int:
    """Return 1 when the arm is faster than ``level`` times the other, -1 when it is not, 0 when that is open.

    The interval must lie on one side, and the ratio farther from ``level`` than the control reaches from 1.
    """
    if abs(found.ratio / level - 1) < noise(control):
        return 0
    return 1 if found.low >= level else -1 if found.high < level else 0


def effect(found: Speed, control: Speed | None) -> str:
    """Say in words what the ratio shows; no gain is claimed that an arm may have over itself."""
    if found.low <= 1 <= found.high:
        return "no gain: the interval covers 1"
    if not side(found, 1, control):
        return f"no gain: stock differs from itself by up to {noise(control):.1%}"
    if found.ratio > 1:
        return f"{found.ratio:.2f} times as fast"
    return f"slower: {1 / found.ratio:.2f} times the time"


def judge(found: Speed, control: Speed | None, floor: float, goal: float | None = None) -> str:
    """Say whether a bar was reached. A floor of 1 is "not slower", with MARGIN; what is slower for sure misses it."""
    if goal is not None and side(found, goal, control) > 0:
        return "goal reached"
    if side(found, floor, control) > 0:
        return "reached" if goal is None else "floor reached"
    if side(found, floor, control) < 0:
        return "**MISSED**"
    if floor == 1 and found.low >= 1 - MARGIN and noise(control) <= MARGIN:
        return f"reached: not slower (margin {MARGIN:.0%})"
    if found.low < floor <= found.high:
        return "undecided: the interval covers the bar"
    return f"undecided: nearer to the bar than the control's {noise(control):.1%}"
