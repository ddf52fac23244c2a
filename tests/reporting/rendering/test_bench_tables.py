"""The words of a bench: the limit first, no gain claimed where none is shown, nothing that a name could inject."""

from __future__ import annotations

import pytest

from gelu_patch.reporting.rendering.bench_tables import bench_markdown, bench_text, worth_it
from gelu_patch.reporting.schema import AAControl, ActivationShare, Arm, Energy, Latency, Memory, Report, Subject


def share(low: float, high: float, *, valid: bool = True) -> ActivationShare:
    ratio = (low + high) / 2
    return ActivationShare(
        shape=(8, 128), n_sites=12, time_share=1 - ratio, time_share_ci=(1 - high, 1 - low), best_ratio=ratio,
        best_ratio_ci=(low, high), saved_share=0.25, saved_limit_share=0.2, valid=valid,
    )  # fmt: skip


def report(control: tuple[float, float] = (0.99, 1.01), **fields: object) -> Report:
    aa = AAControl(ratio=1.0, ci=control)
    common = {"shape": (8, 128), "n_pairs": 300, "n_processes": 3, "p90": 0.02, "p99": 0.02, "margin": 0.02}
    common |= {"aa_control": aa, "examples_per_s": 800.0, "tokens_per_s": 102400.0}
    stock = Latency(p50=0.010, **common)
    relu = Latency(p50=0.009, ratio=0.9, ratio_ci=(0.89, 0.91), p95_ratio=0.92, p99_ratio=1.3, state="FASTER", **common)
    memory = [Memory(phase="forward_backward", shape=(8, 128), saved_for_backward_bytes=n) for n in (2**20, 2**19)]
    arms = [
        Arm(
            name=name,
            run="",
            subject=Subject(model="m"),
            latency=[entry],
            memory=[kept],
            energy=Energy(why_null="no RAPL"),
        )
        for name, entry, kept in zip(("stock", "relu"), (stock, relu), memory, strict=True)
    ]
    known = {"activation_share": [share(0.93, 0.95)], "latency": [stock], "memory": memory[:1], "title": "Bert: relu"}
    return Report(kind="bench", run_id="b", created="", arms=arms, **known | fields)


def test_the_share_and_the_measured_limit_come_first() -> None:
    text = bench_text(report())
    assert text.splitlines()[2] == "Worth it?"
    assert "12 GELU take 6.0 % of the time [5.0, 7.0]" in text
    assert "1.064 times as fast (ratio 0.940 [0.930, 0.950])" in text
    assert "they keep 25.0 % of what training saves for backward (without them: -20.0 %)" in text
    assert text.index("Worth it?") < text.index("LATENCY") < text.index("THROUGHPUT") < text.index("MEMORY")


def test_no_gain_is_promised_where_the_limit_shows_none() -> None:
    assert "no gain is shown" in worth_it(report(activation_share=[share(0.98, 1.01)]))[0]
    assert "no measurement" in worth_it(report(activation_share=[share(0.5, 0.6, valid=False)]))[0]
    assert worth_it(report(activation_share=[])) == ["nothing was measured"]


def test_every_number_has_its_interval_and_the_control_its_word() -> None:
    text = bench_text(report())
    assert "0.900  [0.890, 0.910]      0.920      1.300  FASTER" in text
    assert "A/A control: holds (3 × 100 pairs)" in text
    assert "A/A control: FAILED" in bench_text(report(control=(1.01, 1.02)))
    assert "-50.0 %" in text


def test_energy_is_never_nothing() -> None:
    assert "not available  " in bench_text(report()).replace("not available             ", "not available  ")
    assert "no RAPL" in bench_text(report())
    known = report()
    known.arms[1].energy = Energy(joule_per_1k_samples=12.34, source="RAPL", why_null=None)
    text = bench_text(known)
    assert "12.3" in text
    assert "no RAPL" in text, "of the arm that has none"


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a | b", "[x](http://y)"])
def test_a_name_cannot_inject_anything(name: str) -> None:
    text = bench_markdown(report(title=name))
    assert name not in text
    assert "**Worth it?**" in text
    assert len(text.encode()) < 60_000
