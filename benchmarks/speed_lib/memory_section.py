"""The part of the page about memory, from cpu_memory.json."""

from __future__ import annotations

from .markdown import Json, measured, table


def write(result: Json) -> tuple[str, list[str]]:
    rows = [
        (
            case,
            arm,
            f"{found['saved_mib']:.1f} MiB",
            f"{found['of_stock'] - 1:+.1%}",
            f"{found['step_peak_above_gradients_mib']:.0f} MiB",
            f"{found['step_peak_mib']:.0f} MiB",
            gradients(found),
        )
        for case, arms in result["table"].items()
        for arm, found in arms.items()
    ]
    header = ("model", "arm", "saved for backward", "of stock", "peak of a step", "gradients made anew", "gradients")
    explained = (
        f"{result['what']}. Peaks are the rise of the resident set in a process of its own: above weights and "
        "gradients that are there already, and above weights alone with gradients that backward makes anew while it "
        "frees activations. Gradients: against the same kernel with everything kept; median over the parameters of the "
        "relative difference."
    )
    verdicts = [verdict(bar) for bar in result["bars"]]
    bars = table(
        ("model", "arm", "bar: saved, of stock", "measured", "bar"),
        [
            (bar["model"], bar["arm"], f"{-bar['at_least']:.0%} or better", f"{-bar['less_than_stock']:.1%}", found)
            for bar, found in zip(result["bars"], verdicts, strict=True)
        ],
    )
    return "\n\n".join([measured([result]), explained, bars, table(header, rows)]), verdicts


def gradients(found: Json) -> str:
    if "gradients_bit_equal" not in found:
        return ""
    return "bit-equal" if found["gradients_bit_equal"] else f"{found['gradients_off_median']:.1%} off"


def verdict(bar: Json) -> str:
    return "reached" if bar["less_than_stock"] >= bar["at_least"] else "**MISSED**"
