"""The goals of the house itself: how much of it the tests reach, and how much they would notice."""

from __future__ import annotations

from pathlib import Path

from ...speed_lib.markdown import Json
from .goals import Row, held_by, measured

BRANCHES, SCORE = 0.95, 0.85


def rows(results: Path) -> list[Row]:
    """Return the rows."""
    return [
        measured(
            f"at least {BRANCHES:.0%} branch coverage of patching, stats, activations and blocks, by their own tests",
            results / "branches.json", "make branches", _branches,
        ),
        measured(
            f"mutation score of at least {SCORE:.0%} there; surviving mutants killed or explained",
            results / "mutation.json", "make mutants", _mutants,
        ),
        held_by(
            "what a patch does to random module trees with aliases, and what statistics do to all data, holds",
            "tests/patching/test_properties.py", "tests/stats/test_properties.py",
        ),
    ]  # fmt: skip


def _branches(found: Json) -> tuple[str, bool]:
    shares = {name: each["covered_branches"] / each["branches"] for name, each in found["packages"].items()}
    return ", ".join(f"{name} {share:.1%}" for name, share in shares.items()), min(shares.values()) >= BRANCHES


def _mutants(found: Json) -> tuple[str, bool]:
    packages = found["packages"]
    text = "; ".join(
        f"{name} {each['score']:.1%} of {each['mutants']:,}"
        + (f" (drawn from {each['all_mutants']:,})" if each["sample"] else "")
        for name, each in packages.items()
    )
    return f"{text}; mutmut {found['version']}", min(each["score"] for each in packages.values()) >= SCORE
