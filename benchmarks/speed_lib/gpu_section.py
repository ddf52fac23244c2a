"""The part of the page about a GPU, from gpu.json: every row of the goals, measured or not."""

from __future__ import annotations

import statistics

from .bars import GPU_BARS, GpuBar
from .markdown import Json, machine, table
from .names import AGAIN, F_GELU, OURS
from .ratios import Speed, judge, speed

NOT_MEASURED = "not measured"


def write(result: Json) -> tuple[str, list[str]]:
    found = [outcome(bar, result) for bar in GPU_BARS]
    rows = [
        (bar.row, bar.piece, f"{bar.ours} against {bar.other}", text_of(bar), number, verdict)
        for bar, (number, verdict) in zip(GPU_BARS, found, strict=True)
    ]
    bars = table(("row", "piece", "arms", "floor / goal", "measured", "bar"), rows)
    return "\n\n".join(part for part in (where(result), bars, times(result)) if part), [each for _, each in found]


def where(result: Json) -> str:
    """Say on what it was measured, or why nothing was."""
    if result.get("quick"):
        return "**Run with tiny sizes on a CPU: no number counts.**"
    if not result["reached_a_gpu"]:
        return f"**No GPU was reached, so nothing here was measured.** {result['why']}."
    gpu = result["machine"]
    return (
        f"Measured at {result['git']} in {result.get('seconds', 0):.0f} s on {gpu['name']} ({gpu['architecture']}, "
        f"triton {gpu['triton']}, CUDA {gpu['cuda']}), {machine(result['environment'])}."
    )


def text_of(bar: GpuBar) -> str:
    if bar.measure == "speed":
        return f"{bar.floor:g}x / {bar.goal:g}x"
    if bar.measure == "error":
        return f"eager's error over ours {bar.floor:g} / {bar.goal:g}"
    return {"rate": "", "peak": "peak -", "kept": "kept -"}[bar.measure] + f"{bar.floor:.0%} / {bar.goal:.0%}"


def outcome(bar: GpuBar, result: Json) -> tuple[str, str]:
    """Return what was measured, and whether the bar was reached."""
    piece = result["pieces"].get(bar.piece)
    if not result["reached_a_gpu"] or piece is None:
        reason = result["not_measured"].get(bar.piece, "") if result["reached_a_gpu"] else ""
        return "", NOT_MEASURED + (f": {reason}" if reason else "")
    if bar.measure == "speed":
        samples = piece["samples"]
        if bar.ours not in samples or bar.other not in samples:
            reason = piece["skipped"].get(bar.other) or piece["skipped"].get(bar.ours) or "an arm is missing"
            return "", f"{NOT_MEASURED}: {reason}"
        control = speed(samples, AGAIN, bar.other) if AGAIN in samples else None
        ratio = speed(samples, bar.ours, bar.other)
        return str(ratio), judge(ratio, control, bar.floor, bar.goal)
    value = least_advantage(piece) if bar.measure == "error" else share(bar, piece)
    if value is None:
        return "", NOT_MEASURED
    # Counted, not timed: there is no interval.
    exact = Speed(value, value, value, value)
    return f"{value:.3f}", judge(exact, None, bar.floor, bar.goal)


def share(bar: GpuBar, piece: Json) -> float | None:
    """The share of bytes saved, or of the copy's rate."""
    numbers = piece["notes"].get(
        {"peak": "peak bytes", "kept": "kept bytes", "rate": "bytes per second"}[bar.measure], {}
    )
    ours, other = numbers.get(bar.ours), numbers.get(bar.other)
    if not ours or not other:
        return None
    return float(ours / other if bar.measure == "rate" else 1 - ours / other)


def least_advantage(piece: Json) -> float | None:
    """Eager's largest error over ours: the least over forms, dtypes, values and derivatives."""
    table_of = piece["notes"].get("largest error", {})
    return min(
        (
            arms[F_GELU][what] / max(arms[OURS][what], 1e-300)
            for arms in table_of.values()
            for what in ("value", "derivative")
        ),
        default=None,
    )


def times(result: Json) -> str:
    """Every arm of every piece."""
    rows = [
        (name, "; ".join(f"{arm} {min(v) * 1e6:.1f} / {statistics.median(v) * 1e6:.1f}" for arm, v in samples.items()))
        for name, piece in result["pieces"].items()
        if (samples := piece["samples"])
    ]
    return table(("piece", "µs: fastest / median"), rows) if rows and result["reached_a_gpu"] else ""
