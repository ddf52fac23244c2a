"""The tables of a comparison as rows of text, for every output format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gelu_patch.reporting.schema import Comparison, Fidelity
from gelu_patch.reporting.wording import (
    MISSING,
    binary_size,
    interval_name,
    percent_change,
    place_text,
    ratio_range,
    role_text,
    seconds,
    shape_text,
    shown,
    words,
)


@dataclass(frozen=True)
class Table:
    """A table; the first column names the row, the others are numbers or states."""

    caption: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def quality_table(comparison: Comparison) -> Table:
    """Return one row per quality metric."""
    rows = []
    for result in comparison.results:
        text = shown(result)
        rows.append(
            (
                text.label + role_text(result),
                text.baseline,
                text.candidate,
                text.difference,
                text.interval,
                text.margin,
                text.state,
            )
        )
    interval = interval_name(comparison.policy)
    return Table("Quality", ("metric", "base", "candidate", "difference", interval, "margin", "result"), rows)


def latency_table(comparison: Comparison) -> Table:
    """Return one row per shape, with the A/A control that vouches for it."""
    rows = []
    for result in comparison.latency:
        control = result.aa_control
        rows.append(
            (
                place_text(result.phase, result.shape),
                seconds(result.baseline_p50),
                seconds(result.candidate_p50),
                f"{result.ratio:.3f}",
                ratio_range(result.ci),
                f"{1 + result.margin:.4g}",
                ratio_range(control.ci) if control else MISSING,
                words(result.state),
            )
        )
    header = ("batch × tokens", "base", "candidate", "ratio", "95 % CI", "margin", "A/A control", "result")
    return Table("Latency", header, rows)


def memory_table(comparison: Comparison) -> Table:
    """Return one row per phase and shape."""
    rows = [
        (
            f"{result.quantity}, {result.phase} {shape_text(result.shape) if result.shape else ''}".rstrip(),
            binary_size(result.baseline),
            binary_size(result.candidate),
            percent_change(result.baseline, result.candidate),
            f"+{100 * result.margin:.4g} %",
            words(result.state),
        )
        for result in comparison.memory
    ]
    return Table("Memory", ("what", "base", "candidate", "change", "margin", "result"), rows)


def flips_table(comparison: Comparison) -> Table | None:
    """Return the 2x2 counts of right and wrong, or None without accuracy."""
    for result in comparison.results:
        if result.b is not None and result.c is not None and result.n and result.baseline is not None:
            both_right = round(result.baseline * result.n) - result.b
            both_wrong = result.n - both_right - result.b - result.c
            rows = [
                ("base right", f"{both_right:,}", f"{result.b:,}"),
                ("base wrong", f"{result.c:,}", f"{both_wrong:,}"),
            ]
            return Table("Flips", ("", "candidate right", "candidate wrong"), rows)
    return None


def flips_sentence(comparison: Comparison) -> str:
    """Return ``3 of 872 predictions changed sides: 2 lost, 1 gained; McNemar exact p = 1.00``, or nothing."""
    for result in comparison.results:
        if result.b is not None and result.c is not None and result.p_difference is not None:
            return (
                f"{result.b + result.c:,} of {result.n:,} predictions changed sides: {result.b:,} lost, "
                f"{result.c:,} gained; McNemar exact p = {result.p_difference:.2g}"
            )
    return ""


def fidelity_rows(fidelity: Fidelity) -> list[tuple[str, str]]:
    """Return what is known about how far the outputs moved."""
    rows = [
        ("top-1 agreement", fidelity.top1_agreement, ".2%"),
        ("KL(base ‖ candidate) mean", fidelity.kl_mean, ".2g"),
        ("KL(base ‖ candidate) p99", fidelity.kl_p99, ".2g"),
        ("max |Δ logit|", fidelity.max_abs_dlogit, ".2g"),
    ]
    return [(name, format(value, form).replace("%", " %")) for name, value, form in rows if value is not None]
