from __future__ import annotations

import pytest

from gelu_patch.reporting.comparing.states import control_holds, latency_state, memory_state, quality_state
from gelu_patch.reporting.schema import AAControl

STEADY = AAControl(ratio=1.0, ci=(0.995, 1.005))


@pytest.mark.parametrize(
    ("interval", "state"),
    [
        ((0.001, 0.02), "SUPERIOR"),
        ((-0.005, 0.005), "NON_INFERIOR"),
        ((-0.009, -0.001), "NON_INFERIOR"),  # measurably worse, and still inside the margin
        ((-0.0101, 0.03), "INCONCLUSIVE"),
        ((-0.01, 0.0), "INCONCLUSIVE"),  # touching the margin is no pass
        ((-0.05, -0.011), "INFERIOR"),
        ((-0.05, -0.01), "INCONCLUSIVE"),
        (None, "INCONCLUSIVE"),
    ],
)
def test_quality(interval: tuple[float, float] | None, state: str) -> None:
    assert quality_state(interval, 0.01) == state


@pytest.mark.parametrize(
    ("interval", "state"),
    [((-0.005, 0.005), "EQUIVALENT"), ((0.001, 0.02), "INCONCLUSIVE"), ((-0.05, -0.02), "INFERIOR")],
)
def test_a_claim_of_sameness_needs_both_ends_inside(interval: tuple[float, float], state: str) -> None:
    assert quality_state(interval, 0.01, claim_same=True) == state


@pytest.mark.parametrize(
    ("interval", "state"),
    [
        ((0.94, 0.96), "FASTER"),
        ((0.99, 1.01), "SAME"),
        ((0.97, 1.01), "NOT_SLOWER"),
        ((0.99, 1.03), "INCONCLUSIVE"),
        ((1.021, 1.05), "SLOWER"),
        ((1.001, 1.05), "INCONCLUSIVE"),
    ],
)
def test_latency(interval: tuple[float, float], state: str) -> None:
    assert latency_state(interval, 0.02, STEADY) == state


@pytest.mark.parametrize("control", [AAControl(ratio=1.005, ci=(1.001, 1.009)), AAControl(ratio=1.0, ci=(0.97, 1.03))])
def test_a_control_that_misses_one_or_is_wider_than_the_margin_invalidates(control: AAControl) -> None:
    assert not control_holds(control, 0.02)
    assert latency_state((0.90, 0.91), 0.02, control, valid=True) == "INVALID"


def test_a_measurement_that_calls_itself_invalid_is_believed() -> None:
    assert latency_state((0.90, 0.91), 0.02, STEADY, valid=False) == "INVALID"


def test_without_a_control_nothing_is_concluded() -> None:
    assert latency_state((0.90, 0.91), 0.02, None) == "INCONCLUSIVE"
    assert latency_state((0.90, 0.91), 0.02, None, valid=True) == "FASTER"


def test_memory_within_the_margin_is_the_same() -> None:
    assert [memory_state(1000, size, 0.01) for size in (980, 995, 1005, 1010, 1011)] == [
        "SMALLER", "SAME", "SAME", "SAME", "LARGER",
    ]  # fmt: skip
