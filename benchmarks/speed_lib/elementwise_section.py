"""The elementwise part of the page, from cpu_elementwise.json."""

from __future__ import annotations

import statistics

from .markdown import Json, measured, table
from .ratios import Speed, judge, speed


def control_of(arms: dict[str, list[float]]) -> Speed | None:
    """Return the A/A control of a case, when it has an arm that ran twice."""
    again = next((name for name in arms if name.endswith(" again")), None)
    return speed(arms, again, again.removesuffix(" again")) if again else None


def write(result: Json) -> tuple[str, list[str]]:
    samples, rows, verdicts = result["samples"], [], []
    for bar in result["ratios"]:
        arms = samples[bar["case"]]
        found, control = speed(arms, bar["ours"], bar["other"]), control_of(arms)
        verdicts.append(judge(found, control, bar["floor"], bar["goal"]))
        bars = f"{bar['floor']:g} / {bar['goal']:g}"
        aa = str(control) if control else ""
        who = f"{bar['ours']} against {bar['other']}"
        rows.append((bar["case"], who, f"{found} ({found.of_minima:.3f})", bars, verdicts[-1], aa))
    bars_table = table(("case", "arms", "times as fast", "floor / goal", "bar", "A/A control"), rows)
    times = table(
        ("case", "ns per element: fastest / median"),
        (
            (case, "; ".join(f"{name} {min(v):.3f} / {statistics.median(v):.3f}" for name, v in arms.items()))
            for case, arms in samples.items()
        ),
    )
    conditions = f"{measured([result])} {result['unit']}, {result['threads']} thread."
    return f"{conditions}\n\n{bars_table}\n\n{times}", verdicts
