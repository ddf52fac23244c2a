"""The terminal and Markdown forms of a report."""

from __future__ import annotations

from gelu_patch.reporting.comparing.compare import compare_runs, comparison_report
from gelu_patch.reporting.comparing.verdict import EXIT_CODES
from gelu_patch.reporting.rendering.console import comparison_text
from gelu_patch.reporting.rendering.markdown import ICONS, MAXIMUM_BYTES, escape, markdown_report
from gelu_patch.reporting.schema import Report
from gelu_patch.reporting.wording import binary_size, doubts, seconds, shown, signed
from tests.reporting import made_up


def test_the_terminal_ends_with_the_verdict(full_report: Report) -> None:
    first = full_report.comparisons[0]
    text = comparison_text(first)
    assert text.splitlines()[-1].startswith("VERDICT")
    assert first.headline in text
    for part in ("accuracy", "NON-INFERIOR", "0.950", "FASTER", "64.0 MiB", "48.0 MiB", "default policy"):
        assert part in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 120


def test_markdown_is_short_and_says_every_verdict(full_report: Report) -> None:
    text = markdown_report(full_report)
    assert len(text.encode()) < MAXIMUM_BYTES
    assert "![" not in text
    assert "<img" not in text
    for comparison in full_report.comparisons:
        assert f"{ICONS[comparison.verdict]} **{escape(comparison.headline)}**" in text
    assert text.count("| metric |") == len(full_report.comparisons)
    assert "undo: bit-equal" in text


def test_several_verdicts_are_seen_at_a_glance(full_report: Report) -> None:
    table = markdown_report(full_report).split("\n## ")[0]
    for comparison in full_report.comparisons:
        row = next(line for line in table.splitlines() if line.startswith(f"| {escape(comparison.title)} |"))
        assert comparison.verdict in row
    one = full_report.model_copy(update={"comparisons": full_report.comparisons[:1]})
    assert "| candidate | result | why |" not in markdown_report(one)


def test_a_warning_names_its_metrics_and_is_said_once() -> None:
    found = compare_runs(made_up.run(n=50, wrong=5), made_up.run("x", n=50, wrong=5)).results
    accuracy, loss = (result.model_copy(update={"warnings": ["too few"]}) for result in found[:2])
    assert doubts([accuracy, loss]) == [f"{shown(accuracy).label}, {shown(loss).label}: too few"]


def test_every_verdict_has_an_icon() -> None:
    assert ICONS.keys() == EXIT_CODES.keys()
    assert len(set(ICONS.values())) == len(ICONS)


def test_names_cannot_break_the_table_or_bring_html() -> None:
    assert escape("a|b\n<img src=x>`*[l](u)") == "a\\|b &lt;img src=x&gt;\\`\\*\\[l\\](u)"


def test_even_an_absurd_report_fits() -> None:
    runs = [made_up.run(n=50, wrong=5), made_up.run("x", n=50, wrong=5)]
    comparison = compare_runs(*runs, title="t" * 40_000)
    for notes in ([], ["n" * 70_000]):
        report = comparison_report("huge", runs, [comparison], notes=notes)
        assert len(markdown_report(report).encode()) <= MAXIMUM_BYTES
    two = comparison_report("huge", runs, [comparison, comparison])
    text = markdown_report(two)
    assert len(text.encode()) <= MAXIMUM_BYTES
    assert comparison.headline[:30] in text


def test_numbers_as_people_read_them() -> None:
    assert [seconds(t) for t in (2.0, 5.914e-3, 21.44e-3, 0.2144, 4e-6)] == [
        "2.00 s", "5.91 ms", "21.4 ms", "214 ms", "4.00 µs",
    ]  # fmt: skip
    assert [binary_size(size) for size in (512, 2048, 64 << 20, 3 << 30)] == [
        "512 B", "2.00 KiB", "64.0 MiB", "3.00 GiB",
    ]  # fmt: skip
    assert signed(-0.001, 2) == "+0.00"


def test_a_higher_loss_is_shown_with_a_plus() -> None:
    found = compare_runs(made_up.run(), made_up.run("relu", b=200))
    text = shown(found.results[1])
    assert text.difference.startswith("+")
    assert text.margin == "+0.005"
    assert shown(found.results[0]).margin == "-1.0 pp"
