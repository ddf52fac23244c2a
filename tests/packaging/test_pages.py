"""What is said of the package, from made-up results: nothing that failed or is copyleft may look fine."""

from __future__ import annotations

import json

import pytest

from benchmarks.pages_lib.dependencies import dependencies_page
from benchmarks.pages_lib.package import package_table
from benchmarks.pages_lib.status import package

ENVIRONMENT = {
    "cpu": "Z80", "cores": 1, "python": "3.11", "loadavg": [0.0], "packages": {"torch": "2.13", "transformers": "5.23"},
}  # fmt: skip
DISTRIBUTIONS = {
    "chatty": {"version": "1", "licence": "LGPL-2.1-or-later", "bytes": 2**20},
    "quiet": {"version": "2", "licence": "not stated", "bytes": 2**21},
    "torch": {"version": "2.13.0", "licence": "BSD-3-Clause", "bytes": 2**30},
}
RESULTS = {
    "artifacts": {"files": {"wheel": {"name": "w.whl", "bytes": 1234, "files": 3}}, "checks": {"has all": []}},
    "installs": {
        "wheel": {"seconds": 3.0, "checks": {"`--version`": {"found": "0.1.0", "passed": True}}},
        "sdist": {"seconds": 4.0, "checks": {"`--version`": {"found": "nothing", "passed": False}}},
    },
    "types": {"script": "s.py", "checkers": {"mypy --strict": {"version": "2", "complaints": ["s.py:1: no"]}}},
    "closure": {
        "closures": {"core": ["torch"], "more": ["chatty", "quiet", "torch"]},
        "distributions": DISTRIBUTIONS,
    },
    "imports": {"samples": {"`import gelu_patch`, alone": [0.01, 0.02, 0.03], "`gelu-patch --help`": [0.2]}},
}


@pytest.fixture
def results(tmp_path):
    pieces = {name: {"result": result, "git": "abc", "environment": ENVIRONMENT} for name, result in RESULTS.items()}
    (tmp_path / "package.json").write_text(json.dumps({"pieces": pieces}))
    return tmp_path


def test_copyleft_and_unstated_licences_are_flagged_and_others_are_not(results):
    flagged, everything = dependencies_page(results).split("## Copyleft")[1].split("## All of them")
    assert "| chatty | LGPL-2.1-or-later | more |" in flagged
    assert "| quiet | not stated | more |" in flagged
    assert "torch" not in flagged
    assert "| torch | 2.13.0 | BSD-3-Clause | 1,024.0 | core |" in everything


def test_an_extra_says_what_it_adds_to_the_core(results):
    assert "| `gelu-patch[more]` | 3 | 1,027 | 2, 3 MiB | quiet 2.0, chatty 1.0 |" in dependencies_page(results)


def test_a_failed_check_is_shown_as_one(results):
    shown = package_table(results)
    assert "| `--version` | 0.1.0 | **FAILED**: nothing |" in shown
    assert "| `import gelu_patch`, alone | 20.0 ms | 30.0 ms | 3 |" in shown


def test_the_status_reads_what_was_found(results):
    reached = [(row.found, row.reached) for row in package.rows(results)]
    assert ("wheel 1,234 bytes; 1 checks passed", "yes") in reached
    assert ("sdist: `--version`: nothing", "**no**") in reached
    assert ("mypy --strict: 1 complaints", "**no**") in reached
    assert ("1 with the core, 3 in all, 1 of them copyleft, 1 that do not state one", "**no**") in reached
