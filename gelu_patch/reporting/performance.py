"""Latency and memory of two arms, from what their runs recorded."""

from __future__ import annotations

from collections.abc import Iterator

from gelu_patch.reporting.policy import margin_of
from gelu_patch.reporting.schema import LatencyResult, MemoryResult, Policy, Report
from gelu_patch.reporting.states import latency_state, memory_state


def latency_results(baseline: Report, candidate: Report, policy: Policy) -> list[LatencyResult]:
    """Compare every shape that the candidate measured interleaved with its baseline.

    Times of two separate sessions are never divided: only entries that carry the ratio of one session count.
    """
    margin = margin_of(policy, "latency").value
    alone = {(entry.phase, entry.shape): entry for entry in baseline.latency}
    results = []
    for entry in candidate.latency:
        if entry.ratio is None or entry.ratio_ci is None:
            continue
        before = alone.get((entry.phase, entry.shape))
        results.append(
            LatencyResult(
                shape=entry.shape,
                phase=entry.phase,
                baseline_p50=before.p50 if before else entry.p50 / entry.ratio,
                candidate_p50=entry.p50,
                ratio=entry.ratio,
                ci=entry.ratio_ci,
                margin=margin,
                aa_control=entry.aa_control,
                valid=entry.valid,
                state=latency_state(entry.ratio_ci, margin, entry.aa_control, valid=entry.valid),
            )
        )
    return results


def memory_results(baseline: Report, candidate: Report, policy: Policy) -> list[MemoryResult]:
    """Compare what both arms keep for the backward pass, at every phase and shape that both measured."""
    margin = margin_of(policy, "memory").value
    return [
        MemoryResult(
            phase=phase,
            shape=shape,
            quantity="saved for backward",
            baseline=before,
            candidate=after,
            margin=margin,
            state=memory_state(before, after, margin),
        )
        for phase, shape, before, after in _pairs(baseline, candidate)
    ]


def _pairs(baseline: Report, candidate: Report) -> Iterator[tuple[str, tuple[int, int] | None, int, int]]:
    before = {(entry.phase, entry.shape): entry.saved_for_backward_bytes for entry in baseline.memory}
    for entry in candidate.memory:
        old, new = before.get((entry.phase, entry.shape)), entry.saved_for_backward_bytes
        if old is not None and new is not None:
            yield entry.phase, entry.shape, old, new
