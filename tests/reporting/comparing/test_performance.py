"""Times of a bench in a comparison: whose they may be."""

from __future__ import annotations

import pytest

from gelu_patch.errors import NotComparable, UsageError
from gelu_patch.reporting.comparing.performance import with_bench
from gelu_patch.reporting.schema import AAControl, Arm, Latency, Memory, PatchSummary, Report, Subject


def subject(target: str, params: int = 10) -> Subject:
    return Subject(model="m", architecture="Bert", params=params, patch=PatchSummary(target=target))


def report(kind: str, target: str = "stock", **fields: object) -> Report:
    return Report(kind=kind, run_id=f"{kind}-{target}", created="", subject=subject(target), **fields)


@pytest.fixture
def bench() -> Report:
    control = AAControl(ratio=1.0, ci=(0.99, 1.01))
    times = [
        Latency(shape=(1, 8), p50=p50, p90=1, p99=1, ratio=ratio, ratio_ci=ci, aa_control=control, valid=True)
        for p50, ratio, ci in ((0.2, None, None), (0.1, 0.5, (0.49, 0.51)))
    ]
    arms = [
        Arm(name=name, run="", subject=subject(name), latency=[entry], memory=[Memory(phase="forward")])
        for name, entry in zip(("stock", "relu"), times, strict=True)
    ]
    return report("bench", arms=arms)


def test_each_arm_gets_the_times_of_its_target(bench):
    assert with_bench(report("eval"), bench).latency[0].p50 == 0.2
    attached = with_bench(report("eval", "relu"), bench)
    assert attached.latency[0].ratio == 0.5
    assert attached.memory == [Memory(phase="forward")]


def test_what_a_training_counted_itself_stays_beside_what_the_bench_measured(bench):
    counted = Memory(phase="train", shape=(2, 8), saved_for_backward_bytes=5)
    replaced = Memory(phase="forward", weights_bytes=7)
    attached = with_bench(report("train", "relu", memory=[counted, replaced]), bench)
    assert attached.memory == [Memory(phase="forward"), counted]


def test_what_the_bench_did_not_measure_is_refused(bench):
    with pytest.raises(UsageError, match="did not measure 'silu'"):
        with_bench(report("eval", "silu"), bench)
    with pytest.raises(UsageError, match="kind 'eval'"):
        with_bench(report("eval"), report("eval"))
    other = report("eval").model_copy(update={"subject": subject("stock", params=11)})
    with pytest.raises(NotComparable, match="another model"):
        with_bench(other, bench)
