"""A plug-in of pytest for mutation runs (`make mutants`): the quickest test that can kill a mutant comes first.

Hypothesis draws the same examples every time, so that a mutant that was killed once is killed again.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import settings

# Written by mutmut when it looks which tests reach which function; tests run in the folder of the mutants.
NOTED = Path("mutmut-stats.json")

settings.register_profile("mutants", derandomize=True, deadline=None, database=None)
settings.load_profile("mutants")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    durations = json.loads(NOTED.read_text(encoding="utf-8"))["duration_by_test"] if NOTED.exists() else {}
    items.sort(key=lambda item: durations.get(item.nodeid, 0.0))
