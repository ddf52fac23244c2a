"""What is computed from raw times, on numbers small enough to check by hand."""

from __future__ import annotations

import numpy as np
import pytest

from gelu_patch.reporting.schema import Memory
from gelu_patch.reporting.storage.timings import CONTROL, LIMIT, STOCK, TIMINGS, Cell
from gelu_patch.timing.analysis import activation_share, control_of, latency_entries

CELL = Cell((4, 8), "forward")


def constant(**seconds: float) -> list[dict[str, list[float]]]:
    names = {"stock": STOCK, "again": CONTROL, "other": "other", "limit": LIMIT}
    return [{names[name]: [value] * 20 for name, value in seconds.items()} for _ in range(3)]


def test_an_arm_is_compared_with_both_runs_of_the_baseline() -> None:
    processes = constant(stock=1.0, again=1.01, other=2.0, limit=0.5)
    assert control_of(processes).ratio == pytest.approx(1.01)
    entries = latency_entries(CELL, processes)
    assert entries["other"].ratio == pytest.approx(2.0 / 1.01**0.5)
    assert list(entries) == [STOCK, "other"], "controls are no arms"


def test_an_entry_says_all_that_a_reader_needs() -> None:
    generator = np.random.default_rng(0)
    processes = [{arm: list(generator.uniform(1, 2, 50)) for arm in (STOCK, "other", CONTROL, LIMIT)} for _ in range(3)]
    entry = latency_entries(CELL, processes, margin=0.5, warmup=15)["other"]
    times = [value for samples in processes for value in samples["other"]]
    stock = [value for samples in processes for value in samples[STOCK]]
    assert (entry.n_pairs, entry.n_processes, entry.warmup, entry.values_file) == (150, 3, 15, TIMINGS)
    assert (entry.p50, entry.p95, entry.p99) == pytest.approx(tuple(np.quantile(times, [0.5, 0.95, 0.99])))
    assert entry.p99_ratio == pytest.approx(np.quantile(times, 0.99) / np.quantile(stock, 0.99))
    assert entry.examples_per_s == pytest.approx(4 / entry.p50)
    assert entry.tokens_per_s == pytest.approx(4 * 8 / entry.p50)
    assert len(entry.quantiles) == len(entry.ratio_over_time) == 150
    assert entry.valid is True


def test_generated_tokens_count_and_those_of_the_prompt_do_not() -> None:
    cell = Cell((4, 8), "generate")
    entry = latency_entries(cell, constant(stock=1.0, again=1.0, other=2.0, limit=0.5), new_tokens=3)["other"]
    assert entry.tokens_per_s == pytest.approx(4 * 3 / 2.0)
    assert entry.new_tokens == 3


def test_shares_of_time_and_memory() -> None:
    stock = Memory(phase="forward_backward", saved_for_backward_bytes=1000, activation_saved_bytes=300)
    limit = Memory(phase="forward_backward", saved_for_backward_bytes=800)
    processes = constant(stock=1.0, again=1.0, other=1.0, limit=0.75)
    share = activation_share(CELL, processes, n_sites=2, saved=(stock, limit))
    assert share.time_share == pytest.approx(0.25)
    assert share.best_ratio == pytest.approx(0.75)
    assert (share.saved_share, share.saved_limit_share) == pytest.approx((0.3, 0.2))
    nothing = activation_share(CELL, processes, n_sites=2, saved=None)
    assert nothing.saved_share is None, "what was not counted is not 0"
