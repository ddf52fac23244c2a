"""From an interval and a margin to a state, for one metric at a time.

A p-value never appears here, and whether an interval contains "no difference" decides nothing about passing.
"""

from __future__ import annotations

from gelu_patch.reporting.schema import AAControl, Interval, LatencyState, MemoryState, QualityState


def quality_state(interval: Interval | None, margin: float, *, claim_same: bool = False) -> QualityState:
    """Return the state of a difference that is signed so that worse is negative; ``margin`` > 0, same unit.

    ``claim_same`` asks for EQUIVALENT (both ends inside the margin) instead of "not worse than the margin".
    """
    if interval is None:
        return "INCONCLUSIVE"
    lower, upper = interval
    if upper < -margin:
        return "INFERIOR"
    if claim_same:
        return "EQUIVALENT" if lower > -margin and upper < margin else "INCONCLUSIVE"
    if lower > 0:
        return "SUPERIOR"
    return "NON_INFERIOR" if lower > -margin else "INCONCLUSIVE"


def control_holds(control: AAControl, margin: float) -> bool:
    """Tell whether the baseline against itself looks the same: the interval holds 1, finer than the margin."""
    lower, upper = control.ci
    return lower <= 1 <= upper and (upper - lower) / 2 <= margin


def latency_state(
    ratio_interval: Interval, margin: float, control: AAControl | None, *, valid: bool | None = None
) -> LatencyState:
    """Return the state of a ratio candidate / baseline; ``margin`` 0.02 means "at most 2 % slower".

    Without an A/A control the noise floor is unknown: then nothing is concluded, unless ``valid`` vouches for it.
    """
    if valid is False or (control is not None and not control_holds(control, margin)):
        return "INVALID"
    if control is None and valid is None:
        return "INCONCLUSIVE"
    lower, upper = ratio_interval
    if lower > 1 + margin:
        return "SLOWER"
    if upper < 1:
        return "FASTER"
    if lower > 1 - margin and upper < 1 + margin:
        return "SAME"
    return "NOT_SLOWER" if upper < 1 + margin else "INCONCLUSIVE"


def memory_state(baseline: int, candidate: int, margin: float) -> MemoryState:
    """Return the state of two byte counts. Within the margin, in either direction, is SAME."""
    if candidate > baseline * (1 + margin):
        return "LARGER"
    return "SMALLER" if candidate < baseline * (1 - margin) else "SAME"
