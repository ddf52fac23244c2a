"""A report of kind "bench" as text: first whether a swap can pay at all, then every shape, then memory and energy."""

from __future__ import annotations

from collections.abc import Iterator

from gelu_patch.reporting.comparing.states import control_holds
from gelu_patch.reporting.rendering.markdown import escape
from gelu_patch.reporting.rendering.tables import Table
from gelu_patch.reporting.schema import AAControl, ActivationShare, Energy, Latency, Memory, Report
from gelu_patch.reporting.wording import (
    MISSING,
    binary_size,
    percent_change,
    place_text,
    ratio_range,
    seconds,
    signed,
    words,
)

HEADING = "Worth it?"


def worth_it(report: Report) -> list[str]:
    """Return what the activations take at all, and the most that any swap of them could gain, a line per place."""
    return [_share_sentence(share) for share in report.activation_share] or ["nothing was measured"]


def _share_sentence(share: ActivationShare) -> str:
    parts = []
    if share.time_share is not None and share.time_share_ci is not None and share.best_ratio is not None:
        low, high = (100 * end for end in share.time_share_ci)
        taken = f"{share.n_sites} GELU take {100 * share.time_share:.1f} % of the time [{low:.1f}, {high:.1f}]"
        parts.append(f"{taken}; {_gain(share)}")
    if share.saved_share is not None and share.saved_limit_share is not None:
        parts.append(
            f"they keep {100 * share.saved_share:.1f} % of what training saves for backward "
            f"(without them: {signed(-100 * share.saved_limit_share, 1)} %)"
        )
    return f"{place_text(share.phase, share.shape)}: {'; '.join(parts) or 'not measured'}"


def _gain(share: ActivationShare) -> str:
    """The measured limit in words. An upper end at or above 1 means that removing GELU altogether shows no gain."""
    assert share.best_ratio is not None
    assert share.best_ratio_ci is not None
    if share.valid is False:
        return "but the A/A control failed, so this is no measurement"
    low, high = share.best_ratio_ci
    if high >= 1:
        return f"with no activation at all, no gain is shown (ratio {share.best_ratio:.3f} {ratio_range((low, high))})"
    return (
        f"the best possible gain, measured with no activation at all, is {1 / share.best_ratio:.3f} times as fast "
        f"(ratio {share.best_ratio:.3f} {ratio_range((low, high))})"
    )


def bench_tables(report: Report) -> list[Table]:
    """Return latency, throughput, memory and energy as tables with a row per place and arm."""
    tables = (_latency(report), _throughput(report), _memory(report), _energy(report))
    return [table for table in tables if table.rows]


def _places(report: Report) -> Iterator[tuple[str, str, Latency, Latency]]:
    """Every place with each arm there: (place, arm, baseline, arm's entry)."""
    for baseline in report.latency:
        place = (baseline.phase, baseline.shape)
        for arm in report.arms:
            for entry in arm.latency:
                if (entry.phase, entry.shape) == place:
                    yield place_text(*place), arm.name, baseline, entry


def _latency(report: Report) -> Table:
    rows: list[tuple[str, ...]] = []
    for place, arm, baseline, entry in _places(report):
        if entry.ratio is None or entry.ratio_ci is None:
            control = baseline.aa_control
            rows.append(
                (place, f"{arm} against itself", seconds(entry.p50), *_control_cells(control), MISSING, MISSING,
                 _control_word(control, entry))
            )  # fmt: skip
            continue
        tails = (f"{ratio:.3f}" if ratio else MISSING for ratio in (entry.p95_ratio, entry.p99_ratio))
        rows.append(
            (place, arm, seconds(entry.p50), f"{entry.ratio:.3f}", ratio_range(entry.ratio_ci), *tails,
             words(entry.state or ""))
        )  # fmt: skip
    header = ("batch × length", "arm", "median", "ratio", "95 % CI", "p95 ratio", "p99 ratio", "result")
    return Table("Latency", header, rows)


def _control_cells(control: AAControl | None) -> tuple[str, str]:
    return (f"{control.ratio:.3f}", ratio_range(control.ci)) if control else (MISSING, MISSING)


def _control_word(control: AAControl | None, entry: Latency) -> str:
    if control is None or entry.margin is None:
        return MISSING
    counts = f"{entry.n_processes} × {entry.n_pairs // max(1, entry.n_processes)} pairs"
    return f"A/A control: {'holds' if control_holds(control, entry.margin) else 'FAILED'} ({counts})"


def _throughput(report: Report) -> Table:
    rows = [
        (place, arm, f"{entry.examples_per_s:,.1f}", f"{entry.tokens_per_s:,.0f}")
        for place, arm, _, entry in _places(report)
        if entry.examples_per_s is not None and entry.tokens_per_s is not None
    ]
    return Table("Throughput", ("batch × length", "arm", "examples/s", "tokens/s"), rows)


def _memory(report: Report) -> Table:
    rows = []
    for arm in report.arms:
        for entry in arm.memory:
            stock = next((m for m in report.memory if (m.phase, m.shape) == (entry.phase, entry.shape)), entry)
            rows.append(
                (
                    place_text(entry.phase, entry.shape),
                    arm.name,
                    _size(entry.device_peak_bytes),
                    _size(entry.host_peak_rss_bytes),
                    _size(entry.weights_bytes),
                    _size(entry.saved_for_backward_bytes),
                    _change(stock, entry),
                )
            )
    header = ("batch × length", "arm", "peak, device", "peak, host", "weights", "saved for backward", "saved, change")
    return Table("Memory", header, rows)


def _size(count: int | None) -> str:
    return MISSING if count is None else binary_size(count)


def _change(stock: Memory, entry: Memory) -> str:
    if stock.saved_for_backward_bytes is None or entry.saved_for_backward_bytes is None:
        return MISSING
    return percent_change(stock.saved_for_backward_bytes, entry.saved_for_backward_bytes)


def _energy(report: Report) -> Table:
    known = [(arm.name, arm.energy) for arm in report.arms if arm.energy is not None]
    reasons = {energy.why_null for _, energy in known if energy.joule_per_1k_samples is None}
    if len(reasons) == 1 and all(energy.joule_per_1k_samples is None for _, energy in known):
        return Table("Energy", ("arm", "joule per 1,000 examples", "source"), [("all", *_energy_cells(known[0][1]))])
    rows = [(name, *_energy_cells(energy)) for name, energy in known]
    return Table("Energy", ("arm", "joule per 1,000 examples", "source"), rows)


def _energy_cells(energy: Energy) -> tuple[str, str]:
    if energy.joule_per_1k_samples is None:
        return "not available", energy.why_null or ""
    return f"{energy.joule_per_1k_samples:,.1f}", energy.source or ""


def bench_text(report: Report) -> str:
    """Return the report for a terminal."""
    lines = [report.title, "", HEADING, *(f"  {line}" for line in worth_it(report))]
    for table in bench_tables(report):
        lines += ["", *_aligned(table)]
    lines += [f"warning: {warning}" for warning in report.warnings]
    return "\n".join(lines)


def _aligned(table: Table) -> Iterator[str]:
    grid = [(table.caption.upper(), *table.header[1:]), *table.rows]
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
    last = len(widths) - 1
    for row in grid:
        cells = [
            cell.ljust(width) if i in (0, 1, last) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def bench_markdown(report: Report) -> str:
    """Return the report for a pull request or a job summary."""
    lines = [f"# {escape(report.title)}", "", f"**{HEADING}**", ""]
    lines += [f"- {escape(line)}" for line in worth_it(report)]
    for table in bench_tables(report):
        lines += ["", f"## {table.caption}", ""]
        lines.append("| " + " | ".join(map(escape, table.header)) + " |")
        lines.append("|:--|:--" + "|--:" * (len(table.header) - 3) + "|:--|")
        lines += ["| " + " | ".join(map(escape, row)) + " |" for row in table.rows]
    lines += ["", *(f"- ⚠️ {escape(warning)}" for warning in report.warnings)]
    environment = report.environment
    packages = ", ".join(f"{name} {version}" for name, version in environment.packages.items())
    lines += ["", f"{escape(environment.cpu)}, {environment.threads} threads, {escape(packages)}"]
    if report.tool.command:
        lines += ["", f"Command: {escape(' '.join(report.tool.command))}"]
    return "\n".join(lines).rstrip() + "\n"
