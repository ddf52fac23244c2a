"""The goals of evaluation, statistics and reports."""

from __future__ import annotations

from pathlib import Path

from ...speed_lib.markdown import Json
from .goals import ROOT, Row, held_by, measured

GALLERY = ROOT / "docs" / "gallery" / "minilm_rotten_tomatoes" / "report.json"
FEWEST = 2000


def rows(results: Path) -> list[Row]:
    """Return the rows."""
    return [
        held_by(
            "false NON-INFERIOR in at most 3.5 % of simulations in every cell of the grids; 90 % power at 872 examples",
            "tests/stats/test_grids.py", "tests/stats/test_promises.py",
        ),
        measured(
            "latency of equal arms: at most 2 of 20 runs say faster or slower",
            results / "aa.json", "python benchmarks/aa.py", _equal,
        ),
        measured(
            "a planted delay of 5 % is found",
            results / "aa.json", "python benchmarks/aa.py", _delay,
        ),
        held_by(
            "planted damage: SiLU in a GELU checkpoint is DO NOT SHIP, an identity patch has no flips; other examples, "
            "tokenizer, labels or machine are refused with their exit code",
            "tests/cli/test_damage.py", "tests/cli/test_compare.py", "tests/reporting/comparing/test_comparability.py",
        ),
        measured(
            "MiniLM on Rotten Tomatoes, four activations, swapped and retrained, at least 2,000 test sentences",
            GALLERY, "make gallery", _gallery,
        ),
        held_by(
            "`compare`, `report`, `--help` import no torch; 100,000 predictions in less than 5 s",
            "tests/cli/test_verbs.py::test_help_and_compare_import_no_torch",
            "tests/cli/test_report.py::test_it_imports_no_torch", "tests/cli/test_compare.py",
        ),
        held_by(
            "the report in a real browser: no console error, no request, words for every plot, nothing injected",
            "tests/browser/test_report.py", "tests/reporting/rendering/test_html.py",
        ),
        held_by("kill -9 of `eval` at random moments: the rerun ends with the same bytes", "tests/runs/test_resume.py"),
    ]  # fmt: skip


def _equal(found: Json) -> tuple[str, bool | str]:
    states = [run["state"] for run in found["runs"]["equal"]]
    told = sum(state in ("FASTER", "SLOWER") for state in states)
    text = f"{told} of {len(states)} ({states.count('INVALID')} INVALID)"
    return text, told <= 2 if len(states) >= 20 else f"so far, of {len(states)} runs"


def _delay(found: Json) -> tuple[str, bool | str]:
    states = [run["state"] for run in found["runs"]["delay of 5 %"]]
    slower, invalid = states.count("SLOWER"), states.count("INVALID")
    return f"SLOWER in {slower} of {len(states)}, INVALID in {invalid}", slower + invalid == len(states) and slower > 0


def _gallery(found: Json) -> tuple[str, bool]:
    n = min(quality["n"] for arm in found["arms"] for quality in arm["quality"] if quality["metric"] == "accuracy")
    said = "; ".join(f"{comparison['title']}: {comparison['verdict']}" for comparison in found["comparisons"])
    return f"{n:,} sentences. {said}", n >= FEWEST
