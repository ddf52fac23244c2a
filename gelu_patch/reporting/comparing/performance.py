"""Latency and memory of two arms, from what their runs recorded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gelu_patch.errors import NotComparable, UsageError
from gelu_patch.reporting.comparing.states import latency_state, memory_state
from gelu_patch.reporting.policy.margins import margin_of
from gelu_patch.reporting.schema import Energy, LatencyResult, Memory, MemoryResult, Policy, Report, Subject


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


def with_bench(report: Report, bench: Report) -> Report:
    """Return ``report`` with the latency, memory and energy that a run of kind "bench" measured for its patch target.

    What the activations take at all comes along.

    Time does not depend on the values of the weights, so a retrained arm may be given that of the same architecture.
    Raises NotComparable when the bench was of another model, UsageError when it is none or had no such arm.
    """
    if bench.kind != "bench":
        raise UsageError(
            f"{bench.run_id} is a run of kind {bench.kind!r}",
            why="only a bench has times",
            next_step="gelu-patch bench",
        )
    mine, measured = report.subject or Subject(model=""), bench.subject or Subject(model="")
    for name in ("architecture", "params", "dtype"):
        one, other = getattr(mine, name), getattr(measured, name)
        if one and other and one != other:
            raise NotComparable(
                "the bench measured another model",
                why=f"its {name} is {other}, that of {report.run_id} is {one}",
                next_step="run `gelu-patch bench` on the checkpoint that was evaluated",
            )
    target = mine.patch.target
    arm = next((arm for arm in bench.arms if arm.subject.patch.target == target), None)
    if arm is None:
        raise UsageError(
            f"the bench did not measure {target!r}",
            why=f"its arms are: {', '.join(arm.name for arm in bench.arms)}",
            next_step=f"gelu-patch bench MODEL --to {target}",
        )
    memory = with_measured(report.memory, arm.memory)
    found = {"latency": arm.latency, "memory": memory, "energy": arm.energy or Energy()}
    return report.model_copy(update={**found, "activation_share": bench.activation_share})


def with_measured(own: Sequence[Memory], measured: Sequence[Memory]) -> list[Memory]:
    """Return what was measured, and after it what a run counted itself in other places, such as its training step."""
    places = {(entry.phase, entry.shape) for entry in measured}
    return [*measured, *(entry for entry in own if (entry.phase, entry.shape) not in places)]
