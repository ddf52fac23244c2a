"""How mutants are drawn and counted; what they are is mutmut's affair."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("mutmut", reason="it comes with the extra dev")

from benchmarks.mutants import EQUIVALENTS
from benchmarks.mutants_lib import PACKAGES
from benchmarks.mutants_lib.again import same_changes, with_fates
from benchmarks.mutants_lib.outcomes import Equivalent, change_of, outcomes, read_equivalents, summary
from benchmarks.mutants_lib.sampling import mutants_of, sample
from benchmarks.pages_lib.status import house
from benchmarks.pages_lib.status.goals import ROOT

EVERY = {"a.py": [f"a.x_f__mutmut_{i}" for i in range(30)], "b.py": [f"b.x_g__mutmut_{i}" for i in range(10)]}


def test_a_sample_is_drawn_from_all_files_and_its_seed_determines_it():
    drawn = sample(EVERY, 12, seed=3)
    assert sum(map(len, drawn.values())) == 12
    assert all(set(names) <= set(EVERY[file]) for file, names in drawn.items())
    assert drawn == sample(EVERY, 12, seed=3) != sample(EVERY, 12, seed=4)
    larger = sample(EVERY, 13, seed=3)
    assert all(set(names) <= set(larger[file]) for file, names in drawn.items())
    assert sample(EVERY, None, seed=0) == sample(EVERY, 40, seed=1) == sample(EVERY, 99, seed=1) == EVERY


def test_states_are_read_from_what_mutmut_noted(tmp_path):
    (tmp_path / "mutants").mkdir()
    codes = {"killed": 1, "alive": 0, "forever": -24, "unseen": 33, "not run": None}
    (tmp_path / "mutants" / "a.py.meta").write_text(json.dumps({"exit_code_by_key": codes}))
    assert outcomes(tmp_path, "a.py", ["killed", "alive", "forever", "unseen", "not run"]) == {
        "killed": "killed", "alive": "survived", "forever": "timeout", "unseen": "no tests", "not run": "not checked",
    }  # fmt: skip


def test_the_score_counts_what_the_tests_notice_and_keeps_every_survivor():
    states = {"a.py": {"1": "killed", "2": "timeout", "3": "survived", "4": "no tests"}, "b.py": {"5": "survived"}}
    changes = {"3": ("- x", "+ y"), "5": ("- x", "+ y")}
    found = summary(states, changes)
    assert (found["mutants"], found["noticed"], found["score"]) == (5, 2, 0.4)
    assert found["files"]["a.py"] == {"killed": 1, "timeout": 1, "survived": 1, "no tests": 1}
    assert [row["mutant"] for row in found["survivors"]] == ["3", "5"]


def test_a_survivor_is_found_again_by_its_function_and_its_change():
    survivors = [
        {"mutant": "a.x_f__mutmut_3", "file": "a.py", "change": ["- x", "+ y"]},
        {"mutant": "a.x_f__mutmut_4", "file": "a.py", "change": ["- x", "+ z"]},
    ]
    today = {"a.py": ["a.x_g__mutmut_1", "a.x_f__mutmut_1", "a.x_f__mutmut_9"]}
    changes = {"a.x_g__mutmut_1": ("- x", "+ y"), "a.x_f__mutmut_1": ("- x", "+ w"), "a.x_f__mutmut_9": ("- x", "+ y")}
    found = same_changes(survivors, today, lambda name, file: changes[name])
    assert found == {"a.x_f__mutmut_3": "a.x_f__mutmut_9"}


def test_what_became_of_survivors():
    survivors = [{"mutant": str(i), "file": "a.py", "change": [f"- {i}"]} for i in range(5)]
    reason = Equivalent("a.py", ("- 0",), "nobody can see it")
    found = with_fates(
        {"survivors": survivors}, {"0": "survived", "1": "timeout", "2": "survived", "4": "no tests"}, [reason]
    )
    assert [each["now"] for each in found["survivors"]] == ["explained", "killed", "survived", "gone", "no tests"]
    assert found["left"] == 2
    assert found["survivors"][0]["explained"] == "nobody can see it"


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_has_mutants_and_none_in_generated_tables_or_texts_of_errors(package, monkeypatch):
    monkeypatch.chdir(ROOT)
    found = mutants_of(package)
    assert sum(map(len, found.values())) > 100
    assert all(file.startswith(f"gelu_patch/{package}/") for file in found)
    assert "gelu_patch/activations/fewbit_table.py" not in found


def test_an_explained_survivor_is_one_that_there_is():
    """An explanation whose line is gone explains nothing."""
    for row in read_equivalents(EQUIVALENTS):
        text = (ROOT / row.file).read_text(encoding="utf-8")
        before = [line[2:] for line in row.change if line.startswith("- ")]
        assert before, row
        assert all(line in text for line in before), row
        assert row.why


def test_the_page_asks_for_every_package(tmp_path):
    assert {row.reached for row in house.rows(tmp_path)[:2]} == {"not measured"}
    good, bad = {"branches": 100, "covered_branches": 99}, {"branches": 10, "covered_branches": 9}
    drawn = {"left": 1, "score": 0.9, "mutants": 200, "all_mutants": 2_000, "sample": 200}
    every = drawn | {"score": 0.8, "sample": None}

    def rows(branches, mutants):
        (tmp_path / "branches.json").write_text(json.dumps({"packages": branches}))
        (tmp_path / "mutation.json").write_text(json.dumps({"version": "3", "packages": mutants}))
        return house.rows(tmp_path)[:2]

    covered, noticed = rows(dict.fromkeys(PACKAGES, good), dict.fromkeys(PACKAGES, drawn))
    assert (covered.reached, noticed.reached) == ("yes", "yes")
    covered, noticed = rows({"patching": good, "stats": bad}, {"patching": drawn, "stats": every})
    assert covered.found == "patching 99.0%, stats 90.0%, activations not measured, blocks not measured"
    assert noticed.found == (
        "noticed: patching 90.0% of 200 (drawn from 2,000), 1 left, stats 80.0% of 200, 1 left, activations not "
        "measured, blocks not measured. Left: survivors that no test written since kills and no reason explains"
    )
    assert (covered.reached, noticed.reached) == ("**partly**", "**partly**")
    assert rows(dict.fromkeys(PACKAGES, bad), {})[0].reached == "**no**"


def test_a_change_is_the_lines_that_differ(tmp_path, monkeypatch):
    from benchmarks.mutants_lib import outcomes as module

    diff = "--- a.py\n+++ a.py\n@@ -1,2 +1,2 @@\n def f():\n-    return 1\n+    return 2\n"
    monkeypatch.setattr(module, "get_diff_for_mutant", lambda name, path: diff)
    assert change_of("a.x_f__mutmut_1", "a.py") == ("- return 1", "+ return 2")
