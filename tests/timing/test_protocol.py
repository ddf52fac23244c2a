"""The complete protocol (processes, pairs, control, intervals, states) on machines of which the truth is known."""

from __future__ import annotations

import pytest

from gelu_patch.reporting.storage.timings import STOCK
from gelu_patch.timing.analysis import activation_share, latency_entries
from gelu_patch.timing.session import MORE_PROCESSES
from tests.timing.virtual import CELL, Machine, session

RUNS = 20


def states(factor: float, *, runs: int = RUNS, **machine: float) -> list[str]:
    found = []
    for seed in range(runs):
        measured = session(Machine({STOCK: 0.010, "other": 0.010 * factor}, seed=seed, **machine), seed=seed)
        found.append(str(latency_entries(CELL, measured.timings[CELL])["other"].state))
    return found


def test_equal_arms_are_called_faster_or_slower_at_most_twice_in_twenty_runs() -> None:
    found = states(1.0)
    assert sum(state in ("FASTER", "SLOWER") for state in found) <= 2
    assert sum(state in ("SAME", "NOT_SLOWER") for state in found) >= 15, "and most runs do conclude something"


@pytest.mark.slow
def test_equal_arms_on_a_machine_whose_processes_differ_much() -> None:
    found = states(1.0, layout=0.01)
    assert sum(state in ("FASTER", "SLOWER") for state in found) <= 2


def test_a_planted_delay_of_5_percent_is_found() -> None:
    assert states(1.05).count("SLOWER") >= 18


def test_a_planted_gain_of_5_percent_is_found() -> None:
    assert states(0.95).count("FASTER") >= 18


def test_a_machine_that_becomes_slower_makes_no_arm_slower() -> None:
    """Every call is 0.05 % slower than the one before: sequential timing would call the second arm 10 % slower."""
    found = states(1.0, wear=0.0005, runs=10)
    assert not {"FASTER", "SLOWER"} & set(found)


def test_a_control_that_misses_1_is_invalid_whatever_the_arms_say() -> None:
    measured = session(Machine({STOCK: 0.010, "other": 0.005}, biased=1.04), max_seconds=1e9)
    entries = latency_entries(CELL, measured.timings[CELL])
    assert entries["other"].state == "INVALID"
    assert entries["other"].valid is False
    assert len(measured.timings[CELL]) == 3 * MORE_PROCESSES, "it was given more processes before it was given up"


def test_a_control_that_is_too_wide_is_invalid() -> None:
    measured = session(Machine({STOCK: 0.010, "other": 0.005}, noise=0.8), max_seconds=3.0)
    assert latency_entries(CELL, measured.timings[CELL])["other"].state == "INVALID"


def test_a_quiet_machine_is_done_after_the_pairs_asked_for() -> None:
    machine = Machine({STOCK: 0.010, "other": 0.010}, noise=0.005, spikes=0.0, layout=0.0)
    measured = session(machine)
    assert [len(samples[STOCK]) for samples in measured.timings[CELL]] == [60, 60, 60]
    assert machine.processes == 3


def test_the_budget_ends_a_measurement_before_the_pairs_asked_for() -> None:
    measured = session(Machine({STOCK: 1.0, "other": 1.0}), n_pairs=100, max_seconds=60.0)
    assert all(10 <= len(samples[STOCK]) <= 20 for samples in measured.timings[CELL])


def test_the_margin_decides_what_is_the_same() -> None:
    machine = Machine({STOCK: 0.010, "other": 0.0105}, noise=0.01)
    timings = session(machine).timings[CELL]
    assert latency_entries(CELL, timings, margin=0.02)["other"].state == "SLOWER"
    assert latency_entries(CELL, timings, margin=0.10)["other"].state == "SAME"


def test_the_limit_is_what_the_activations_take() -> None:
    timings = session(Machine({STOCK: 0.010, "other": 0.010}, noise=0.01)).timings[CELL]
    share = activation_share(CELL, timings, n_sites=4, saved=None)
    assert share.time_share == pytest.approx(0.10, abs=0.015)
    assert share.time_share_ci[0] < 0.10 < share.time_share_ci[1]
    assert share.best_ratio == pytest.approx(1 - share.time_share)
    assert share.valid is True


@pytest.mark.parametrize(
    ("device", "counts", "throttled"),
    [("cpu", (3, 3), False), ("cpu", (3, 5), True), ("cpu", (None, None), None), ("cuda:0", (3, 5), None)],
)
def test_slowing_down_for_heat_is_recorded_where_somebody_counts_it(monkeypatch, device, counts, throttled) -> None:
    readings = iter(counts)
    monkeypatch.setattr("gelu_patch.timing.session.heat_events", lambda: next(readings))
    measured = session(Machine({STOCK: 0.010, "other": 0.010}, seed=0), device=device)
    assert measured.environment.get("throttled") is throttled
    assert any("heat" in warning for warning in measured.warnings) is bool(throttled)
