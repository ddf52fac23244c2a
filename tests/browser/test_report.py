"""report.html in a real browser: it opens, asks for nothing, says everything, and fits."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gelu_patch.reporting.comparing.compare import compare_runs, comparison_report
from gelu_patch.reporting.rendering.html import html_report
from gelu_patch.reporting.schema import Report
from tests.browser.chromium import Browser
from tests.browser.conftest import page
from tests.browser.looking import CONTRASTS, PLOTS, complaints
from tests.reporting import made_up
from tests.reporting.hostile import HOSTILE, hostile_report

pytestmark = pytest.mark.xdist_group("browser")
pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def address(full_report: Report, tmp_path_factory: pytest.TempPathFactory) -> str:
    return page(tmp_path_factory.mktemp("report"), html_report(full_report))


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [400, 1280])
def test_a_full_report_has_nothing_to_complain_about(browser: Browser, address: str, width: int, dark: bool) -> None:
    browser.open(address, width=width, dark=dark)
    assert complaints(browser) == []
    assert len(browser.ask(PLOTS)) >= 14
    assert browser.requests() == [address]


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_can_be_read(browser: Browser, address: str, dark: bool) -> None:
    browser.open(address, dark=dark)
    worst = browser.ask(CONTRASTS)
    assert len(worst) > 300
    assert worst[0][0] >= 4.5, worst[:5]
    background = browser.ask("getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, re.findall(r"\d+", background))) < 64) == dark


def test_a_report_with_little_in_it_opens_as_well(browser: Browser, tmp_path: Path) -> None:
    runs = [made_up.run(), made_up.run("x", b=2)]
    for report in (comparison_report("bare", runs, [compare_runs(*runs)]), runs[0].report):
        browser.open(page(tmp_path, html_report(report)))
        assert complaints(browser) == []


@pytest.mark.parametrize("width", [400, 1280])
def test_hostile_names_do_nothing(browser: Browser, tmp_path: Path, width: int) -> None:
    browser.open(page(tmp_path, html_report(hostile_report())), width=width)
    assert complaints(browser) == []
    assert browser.ask("typeof window.hacked") == "undefined"
    text = browser.ask("document.body.textContent")
    assert all(attack in text for attack in HOSTILE if attack.isprintable()), "shown as it is"


def test_the_report_is_in_the_page(browser: Browser, address: str, full_report: Report) -> None:
    browser.open(address)
    found = json.loads(browser.ask('document.getElementById("report-json").textContent'))
    assert Report.model_validate(found).comparisons == full_report.comparisons


def test_it_prints_on_a4(browser: Browser, address: str, tmp_path: Path) -> None:
    browser.open(address)
    printed = browser.pdf(tmp_path / "report.pdf").read_bytes()
    boxes = set(re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", printed))
    assert [(round(float(w)), round(float(h))) for w, h in boxes] == [(595, 842)]


def test_served_from_a_host_it_asks_for_nothing_either(browser: Browser, full_report: Report) -> None:
    asked, body = [], html_report(full_report).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        browser.open(f"http://127.0.0.1:{server.server_port}/report.html")
        assert complaints(browser) == []
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert asked == ["/report.html"]


PLOT = f'<svg role="img" aria-label="{"w" * 50}" width="300" height="100"></svg>'

# name: (a page with one fault, how the complaint begins)
FAULTS = {
    "an error": ('<script>console.error("oh")</script>', "console:"),
    "an exception": ("<script>nowhere.at.all</script>", "console:"),
    "a request": ('<img src="http://127.0.0.1:9/x.png">', "request:"),
    "a script": ("<script>1</script>", "foreign element:"),
    "a handler": ('<p onclick="1">x</p>', "handler:"),
    "too wide": ('<div style="width: 3000px">x</div>', "wider than the window"),
    "a plot without words": ('<svg role="img" width="300" height="100"></svg>', "plot 1 has no alternative text"),
    "a plot without a table": (PLOT, "plot 1 has no table"),
    "a hidden plot": (PLOT.replace("300", "0"), "plot 1 is not to be seen"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_seen(browser: Browser, tmp_path: Path, name: str) -> None:
    """The driver and the questions can fail: what they must see, they see."""
    body, beginning = FAULTS[name]
    browser.open(page(tmp_path, f"<!doctype html><title>x</title><body>{body}"))
    assert any(complaint.startswith(beginning) for complaint in complaints(browser))
