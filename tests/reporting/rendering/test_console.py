"""The terminal at 80 columns: nothing is cut, and the eye ends on the verdict."""

from __future__ import annotations

import re

import pytest

from gelu_patch.reporting.comparing.compare import compare_runs
from gelu_patch.reporting.rendering.console import comparison_text
from gelu_patch.reporting.schema import Comparison, Report
from tests.reporting import made_up


def awkward() -> list[Comparison]:
    """Comparisons with the longest words: every state, remarks, wide intervals, long titles."""
    few = compare_runs(made_up.run(n=277), made_up.run("x", n=277, b=20, c=15, noise=0.4))
    slightly_worse = compare_runs(
        made_up.run(n=20_000), made_up.run("x", n=20_000, b=120, c=20), margins={"nll": "0.1", "accuracy": "2pp"}
    )
    base, slow = made_up.run(), made_up.run("x", noise=1e-6)
    base.report.latency = [made_up.latency(shape=shape) for shape in ((1, 128), (32, 512))]
    slow.report.latency = [
        made_up.latency(1.05, shape=(1, 128), control=1.04),
        made_up.latency(1.0, width=0.05, shape=(32, 512)),
    ]
    base.report.memory, slow.report.memory = [made_up.memory(64 << 30)], [made_up.memory(64 << 30)]
    return [few, slightly_worse, compare_runs(base, slow, title="a title " * 30), compare_runs(base, base)]


@pytest.fixture(scope="module")
def comparisons(full_report: Report) -> list[Comparison]:
    return [*full_report.comparisons, *awkward()]


@pytest.mark.parametrize("width", [80, 100, 120])
def test_nothing_is_cut(comparisons: list[Comparison], width: int) -> None:
    for comparison in comparisons:
        text = comparison_text(comparison, width=width)
        assert "…" not in text
        assert max(map(len, text.splitlines())) <= width
        states = {row.state.replace("_", "-") for row in [*comparison.results, *comparison.latency, *comparison.memory]}
        for state in states:
            words = state.replace("NOT-SLOWER", "SLOWER")
            assert re.search(rf"\b{words}\b", text), f"{words} is not whole at {width} columns"


def test_the_awkward_comparisons_show_every_long_word() -> None:
    text = "\n".join(comparison_text(comparison, width=80) for comparison in awkward())
    for word in ("INCONCLUSIVE", "NON-INFERIOR", "(measurably", "(identical)", "INVALID", "SAME", "(guard"):
        assert word in text


def test_the_verdict_comes_last_and_whole(comparisons: list[Comparison]) -> None:
    for comparison in comparisons:
        label, _, end = comparison_text(comparison, width=80).rpartition("\nVERDICT")
        assert label
        assert " ".join(end.split()) == " ".join(comparison.headline.split())


def test_in_a_notebook_its_text_is_still_a_text(comparisons: list[Comparison], monkeypatch: pytest.MonkeyPatch) -> None:
    plain = [comparison_text(comparison) for comparison in comparisons]
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert [comparison_text(comparison) for comparison in comparisons] == plain


def test_a_name_is_not_markup() -> None:
    text = comparison_text(compare_runs(made_up.run(n=50), made_up.run("x", n=50), title="[red]bold[/red] :boom:"))
    assert text.startswith("[red]bold[/red] :boom:")
