"""Names and texts of somebody who means harm, in every format but the page (tests/browser opens that)."""

from __future__ import annotations

import io
import re

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from gelu_patch.reporting.rendering.console import comparison_text, comparison_view
from gelu_patch.reporting.rendering.html import html_report
from gelu_patch.reporting.rendering.markdown import MAXIMUM_BYTES, escape, fenced, markdown_report
from gelu_patch.reporting.rendering.printable import printable, printable_model
from gelu_patch.reporting.schema import Report
from tests.reporting.hostile import HOSTILE, hostile_comparison, hostile_report

READER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def test_markdown_holds_no_html_link_image_or_heading_of_theirs() -> None:
    text = markdown_report(hostile_report())
    assert len(text.encode()) <= MAXIMUM_BYTES
    tokens = [child for token in READER.parse(text) for child in [token, *(token.children or [])]]
    assert not [t.type for t in tokens if t.type in {"image", "link_open", "html_inline", "em_open", "s_open"}]
    blocks = [token.content.strip() for token in tokens if token.type == "html_block"]
    assert all(re.fullmatch(r"<details><summary>[\w ]+</summary>|</details>", block) for block in blocks)
    headings = [token for token in tokens if token.type == "heading_open"]
    assert len(headings) == 1 + 3 + 1, "the title, one for each comparison, the checks"
    rows = re.findall(r"(?m)^\|.*\|$", text)
    columns = {len(re.findall(r"(?<!\\)\|", row)) for row in rows}
    assert columns <= {3, 4, 5, 7, 8}


@pytest.mark.parametrize("attack", HOSTILE)
def test_markdown_shows_an_attack_as_it_is(attack: str) -> None:
    (paragraph,) = [t for t in READER.parse(f"x {escape(attack)}") if t.type == "inline"]
    shown = "".join(child.content for child in paragraph.children or [])
    assert {child.type for child in paragraph.children or []} <= {"text", "text_special"}
    assert shown == f"x {' '.join(attack.split())}"


def test_a_command_cannot_leave_its_block() -> None:
    block = fenced("a ``` b\n````\n<img>")
    (token,) = READER.parse(block)
    assert token.type == "fence"
    assert token.content == "a ``` b\n````\n<img>\n"


def test_a_terminal_is_not_steered_and_markup_is_text() -> None:
    target = io.StringIO()
    Console(file=target, width=100, force_terminal=True, color_system="standard").print(
        comparison_view(hostile_comparison(), hostile_report().arms)
    )
    left = re.sub(r"\x1b\[[\d;]*m", "", target.getvalue())  # colours of our own
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", left)
    assert "\x1b]0" not in target.getvalue()
    plain = comparison_text(hostile_comparison(), width=100)
    assert "\x1b" not in plain
    assert "[bold red]markup[/bold red]" in " ".join(plain.split()).replace(" ", "") or "[bold" in plain


def test_printable_keeps_what_is_read_and_drops_what_steers() -> None:
    assert printable("模型 🙂 a\tb\nc — é") == "模型 🙂 a\tb\nc — é"
    assert printable("a\x1b[31m\u202e\ud800\x9b") == "a\ufffd[31m\ufffd\ufffd\ufffd"


def test_a_printable_report_is_the_same_report(full_report: Report) -> None:
    assert printable_model(full_report) == full_report


def test_the_page_has_no_element_of_theirs() -> None:
    page = html_report(hostile_report())
    page.encode()
    ours = set(
        [
            "!doctype",
            "html",
            "head",
            "meta",
            "title",
            "style",
            "body",
            "main",
            "header",
            "footer",
            "h1",
            "h2",
            "h3",
            "p",
            "section",
            "article",
            "dl",
            "dt",
            "dd",
            "details",
            "summary",
            "ul",
            "li",
            "div",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "figure",
            "figcaption",
            "pre",
            "svg",
            "g",
            "path",
            "defs",
            "use",
            "text",
            "tspan",
            "clippath",
            "rect",
        ]
    )
    found = {name.lower() for name in re.findall(r"<([!a-zA-Z][\w-]*)", page)}
    assert found <= ours, found - ours
    assert not re.search(r"<[^>]*\son\w+\s*=", re.sub(r'"[^"]*"', '""', page))
    assert "window.hacked=1" in page
