"""A plug-in of pytest for mutation runs (`make mutants`): the quickest test that can kill a mutant comes first.

Hypothesis draws the same examples every time, so that a mutant that was killed once is killed again. What takes long to
import is imported here, once, before mutmut forks.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
from hypothesis import settings

# Written by mutmut when it looks which tests reach which function; tests run in the folder of the mutants.
NOTED = Path("mutmut-stats.json")

importlib.import_module("tests.conftest")  # it chooses Triton's interpreter, before anything imports triton
for _name in ("bert", "gpt2", "roberta", "llama", "t5", "encoder_decoder"):
    importlib.import_module(f"transformers.models.{_name}.modeling_{_name}")
for _name in ("peft", "scipy.stats", "torch._dynamo", "huggingface_hub", "rich.table"):
    importlib.import_module(_name)

settings.register_profile("mutants", derandomize=True, deadline=None, database=None)
settings.load_profile("mutants")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    durations = json.loads(NOTED.read_text(encoding="utf-8"))["duration_by_test"] if NOTED.exists() else {}
    items.sort(key=lambda item: durations.get(item.nodeid, 0.0))
