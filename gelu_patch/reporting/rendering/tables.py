"""The tables of a comparison as rows of text, for every output format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gelu_patch.reporting.schema import Arm, Comparison, Fidelity, Flip
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

    def first(self, count: int) -> Table:
        """Return the table with its first ``count`` rows."""
        return replace(self, rows=self.rows[:count])

    def after(self, count: int) -> Table:
        """Return the table without its first ``count`` rows."""
        return replace(self, rows=self.rows[count:])


def overview_table(comparisons: Sequence[Comparison]) -> Table:
    """Return one row per comparison: its verdict, and why."""
    rows = [(each.title, each.verdict, each.headline.removeprefix(f"{each.verdict}: ")) for each in comparisons]
    return Table("Verdicts", ("candidate", "result", "why"), rows)


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


def summary_table(comparison: Comparison) -> Table:
    """Return everything that was compared in one table: quality, then latency, then memory."""
    header = ("metric", "base", "candidate", "difference [95 % CI]", "margin", "result")
    quality = [(*row[:3], f"{row[3]} {row[4]}", *row[5:]) for row in quality_table(comparison).rows]
    latency = [
        (f"latency {row[0]}", *row[1:3], f"ratio {row[3]} {row[4]}", row[5], row[7])
        for row in latency_table(comparison).rows
    ]
    memory = list(memory_table(comparison).rows)
    return Table("Everything that was compared", header, [*quality, *latency, *memory])


def throughput_table(comparison: Comparison) -> Table:
    """Return examples per second at the median time, one row per shape."""
    rows = []
    for result in comparison.latency:
        rates = [result.shape[0] / seconds for seconds in (result.baseline_p50, result.candidate_p50)]
        change = percent_change(1.0, 1 / result.ratio)
        rows.append((place_text(result.phase, result.shape), *(f"{rate:,.4g}" for rate in rates), change))
    return Table("Throughput (examples/s)", ("batch × tokens", "base", "candidate", "change"), rows)


def energy_table(arms: Sequence[Arm]) -> Table:
    """Return one row per arm that was measured: what 1,000 examples took, or why nobody knows."""
    rows = []
    for arm in arms:
        if arm.energy is not None:
            joule = arm.energy.joule_per_1k_samples
            known = f"{joule:,.4g} J" if joule is not None else "not available"
            rows.append((arm.name, known, arm.energy.source or arm.energy.why_null or MISSING))
    return Table("Energy", ("arm", "per 1,000 examples", "source"), rows)


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


def flipped_examples(comparison: Comparison) -> Table:
    """Return the examples that the arms predict differently, one row each, in the order of the report."""
    rows = [
        (
            flip.id,
            flip.text or MISSING,
            MISSING if flip.label is None else flip.label,
            f"{flip.baseline} → {flip.candidate}",
            f"{_digits(flip.baseline_margin)} → {_digits(flip.candidate_margin)}",
            _digits(flip.kl),
            _change(flip),
        )
        for flip in comparison.flips
    ]
    header = ("id", "text", "label", "prediction", "logit margin", "KL", "answer")
    return Table("Examples that changed", header, rows)


def _digits(value: float | None) -> str:
    return MISSING if value is None else f"{value:.2g}"


def _change(flip: Flip) -> str:
    if flip.label is None:
        return "changed"
    return {flip.baseline: "lost", flip.candidate: "gained"}.get(flip.label, "wrong before and after")


_FIDELITY = (
    ("top-1 agreement", "top1_agreement", ".2%"),
    ("KL(base ‖ candidate) mean", "kl_mean", ".2g"),
    ("KL(base ‖ candidate) p99", "kl_p99", ".2g"),
    ("max |Δ logit|", "max_abs_dlogit", ".2g"),
)


def fidelity_table(fidelity: Fidelity) -> Table:
    """Return what is known about how far the outputs moved, beside the numeric noise where that was measured."""
    arms = [fidelity, *([fidelity.noise] if fidelity.noise else [])]
    rows = []
    for name, field, form in _FIDELITY:
        values = [getattr(arm, field) for arm in arms]
        if values[0] is not None:
            texts = (MISSING if value is None else format(value, form).replace("%", " %") for value in values)
            rows.append((name, *texts))
    return Table("Fidelity", ("fidelity", "candidate", "numeric noise")[: 1 + len(arms)], rows)
