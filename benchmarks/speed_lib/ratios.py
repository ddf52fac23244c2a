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


def noise(control: Speed) -> float:
    """Return how far the A/A control, an arm against itself, reaches from 1."""
    return max(1 - control.low, control.high - 1, 0.0)


def effect(found: Speed, control: Speed | None) -> str:
    """Say in words what the ratio shows; a gain must exclude 1 and exceed what an arm gains over itself."""
    if found.low <= 1 <= found.high:
        return "no gain: the interval covers 1"
    if control is not None and abs(found.ratio - 1) <= noise(control):
        return f"no gain: stock differs from itself by up to {noise(control):.1%}"
    if found.ratio > 1:
        return f"{found.ratio:.2f} times as fast"
    return f"slower: {1 / found.ratio:.2f} times the time"


def judge(found: Speed, control: Speed | None, floor: float, goal: float | None = None) -> str:
    """Say whether a bar was reached: the interval must lie beyond it, not only the ratio.

    The interval is widened by what the A/A control misses 1 by. A floor of 1 is "not slower", with MARGIN; an interval
    wholly below 1 is slower all the same.
    """
    bias = 0.0 if control is None else max(control.low - 1, 1 - control.high, 0.0)
    low, high = found.low / (1 + bias), found.high * (1 + bias)
    if goal is not None and low >= goal:
        return "goal reached"
    if low >= floor:
        return "reached" if goal is None else "floor reached"
    if high < floor:
        return "**MISSED**"
    if floor == 1 and low >= 1 - MARGIN:
        return f"reached: not slower (margin {MARGIN:.0%})"
    return "undecided: the interval covers the bar"
