"""One browser for all tests; a page is a file that it opens."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.chromium import Browser, find_chromium
from tests.reporting.conftest import full_report  # noqa: F401  (a fixture)

REQUIRED = "GELU_PATCH_REQUIRE_BROWSER"  # set by .ci/run, where a missing browser is a failure


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if find_chromium() is None:
        reason = "no Chromium here: apt-get install chromium"
        pytest.fail(reason) if os.environ.get(REQUIRED) else pytest.skip(reason)
    with Browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


def page(folder: Path, text: str) -> str:
    """Write a page and return its address."""
    path = folder / "report.html"
    path.write_text(text, encoding="utf-8")
    return path.as_uri()
