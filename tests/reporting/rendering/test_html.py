"""The page: complete, small, stable, and harmless whatever a model is called."""

from __future__ import annotations

import json
import sys
from html.parser import HTMLParser

import pytest

from gelu_patch.errors import MissingExtra
from gelu_patch.reporting.comparing.compare import compare_runs, comparison_report
from gelu_patch.reporting.comparing.verdict import EXIT_CODES
from gelu_patch.reporting.rendering.html import html_report
from gelu_patch.reporting.rendering.plots.canvas import COLOURS
from gelu_patch.reporting.rendering.views import FLIPS_IN_SIGHT, MEANINGS, TONES
from gelu_patch.reporting.schema import Report
from tests.reporting import made_up
from tests.reporting.conftest import full_runs, report_of

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")


class Page(HTMLParser):
    """Collects tags and attributes, and checks that every element is closed in order."""

    EMPTY = frozenset({"meta", "br", "path", "use", "rect"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.EMPTY:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def html(full_report: Report) -> str:
    return html_report(full_report)


def test_it_is_one_small_file_that_asks_for_nothing(html: str) -> None:
    assert len(html.encode()) < 1_000_000
    assert "http:" not in html
    assert "https:" not in html
    page = Page(html)
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert not any("url(" in (attributes.get("style") or "") for _, attributes in page.tags)
    policy = [a["content"] for tag, a in page.tags if tag == "meta" and a.get("http-equiv")]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    assert page.open == []


def test_every_plot_has_words_and_a_table(html: str) -> None:
    plots = [attributes for tag, attributes in Page(html).tags if tag == "svg"]
    assert len(plots) == 17
    assert all(plot["role"] == "img" and len(plot["aria-label"] or "") > 40 for plot in plots)
    assert html.count("<summary>The numbers</summary>") == len(plots)


def test_every_verdict_and_its_reach_is_on_the_page(html: str, full_report: Report) -> None:
    assert [c.verdict for c in full_report.comparisons] == ["SHIP", "DO NOT SHIP", "PRELIMINARY"]
    for comparison in full_report.comparisons:
        assert f'<p class="name">{comparison.verdict}</p>' in html
    assert html.count("does not cover") == 3
    assert "2,000 examples of sentences test" in html
    for section in (
        "Quality",
        "Flips",
        "Checks",
        "Training",
        "Latency",
        "Memory",
        "Method",
        "Environment",
        "Reproduce",
    ):
        assert f"<h2>{section}" in html


def test_the_same_report_gives_the_same_bytes(html: str, full_report: Report) -> None:
    again = Report.model_validate(json.loads(full_report.model_dump_json(by_alias=True)))
    assert html_report(again) == html


def test_colours_follow_the_reader_and_the_style_sheet_knows_them_all(html: str) -> None:
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html
    dark = html[html.index("prefers-color-scheme: dark") :]
    for name, value in COLOURS.items():
        assert f"--{name}: {value}" in html, "light mode is what was drawn"
        assert f"--{name}: " in dark
    drawing = html[html.index("<svg") : html.index("</svg>")]
    assert not any(value in drawing.replace(f"var(--{name}, {value})", "") for name, value in COLOURS.items())
    assert len(set(COLOURS.values())) == len(COLOURS)
    assert TONES.keys() == MEANINGS.keys() == EXIT_CODES.keys()


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "$x^{2$ & </svg>"])
def test_a_name_cannot_inject(name: str) -> None:
    runs = full_runs()
    for run in runs:
        assert run.report.subject
        assert run.report.data
        run.report.subject.patch.target = run.report.subject.model = run.report.title = name
        run.report.data.name = run.report.environment.cpu = name
        run.report.tool.command = [name]
    report = report_of(runs, title=name)
    page = html_report(report)
    parsed = Page(page)
    assert not {tag for tag, _ in parsed.tags} & {"script", "img"}
    assert parsed.open == []
    assert not any(attribute.startswith("on") for _, attributes in parsed.tags for attribute in attributes)
    assert "alert(1)" not in page or "&lt;" in page


def test_a_page_that_would_be_too_long_leaves_the_rest_to_the_json(monkeypatch: pytest.MonkeyPatch) -> None:
    base, cand = made_up.run(n=2_000, wrong=300), made_up.run("x", n=2_000, wrong=300, b=150, c=100)
    report = comparison_report("many flips", [base, cand], [compare_runs(base, cand)])
    whole = html_report(report)
    unseen = len(report.comparisons[0].flips) - FLIPS_IN_SIGHT
    assert unseen > 0
    assert "too long to repeat" not in whole
    monkeypatch.setattr("gelu_patch.reporting.rendering.html.MAXIMUM_BYTES", len(whole.encode()) - 1)
    short = html_report(report)
    assert len(short) < len(whole)
    assert short.count("<tr>") == whole.count("<tr>") - unseen - 1  # their table has a heading
    assert "too long to repeat here: see report.json" in short


def test_missing_parts_are_absent_with_a_reason() -> None:
    runs = [made_up.run(), made_up.run("x", b=2)]
    page = html_report(comparison_report("bare", runs, [compare_runs(*runs)]))
    assert page.count("<svg") == 3
    for reason in ("No arm was trained here", "Latency was not compared", "Memory was not measured"):
        assert reason in page


def test_without_the_extra_the_error_says_what_to_install(full_report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtra, match=r"gelu-patch\[report\]"):
        html_report(full_report)
