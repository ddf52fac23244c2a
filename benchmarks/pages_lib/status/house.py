"""The goals of the house itself: its order, how much of it the tests reach, and how much they would notice."""

from __future__ import annotations

from pathlib import Path

from ...mutants_lib import PACKAGES
from ...speed_lib.markdown import Json
from .goals import NO, PARTLY, YES, Row, held_by, measured

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
        held_by(
            "no Python file has more than 350 lines, their median in the package at most 130; README has all verbs",
            "tests/test_structure.py",
        ),
        held_by(
            "all Python blocks of README and guide run, the site builds without a warning",
            "tests/docs/test_pages.py",
        ),
        held_by(
            "an activation, a kernel, a way of finding sites and a task are added by following the page literally",
            "tests/docs/test_adding.py",
        ),
        held_by("examples and notebooks run, and print what they say", "tests/test_examples.py", "tests/notebooks"),
    ]  # fmt: skip


def _branches(found: Json) -> tuple[str, str]:
    shares = {name: each["covered_branches"] / each["branches"] for name, each in found["packages"].items()}
    return _judged({name: f"{name} {share:.1%}" for name, share in shares.items()}, shares, BRANCHES)


def _mutants(found: Json) -> tuple[str, str]:
    scores = {name: each["score"] for name, each in found["packages"].items()}
    texts = {
        name: f"{name} {each['score']:.1%} of {each['mutants']:,}"
        + (f" (drawn from {each['all_mutants']:,})" if each["sample"] else "")
        + f", {each['left']} left"
        for name, each in found["packages"].items()
    }
    text, reached = _judged(texts, scores, SCORE)
    return f"noticed: {text}. Left: survivors that no test written since kills and no reason explains", reached


def _judged(texts: dict[str, str], shares: dict[str, float], bar: float) -> tuple[str, str]:
    said = [texts.get(name, f"{name} not measured") for name in PACKAGES]
    enough = [shares.get(name, 0) >= bar for name in PACKAGES]
    return ", ".join(said), YES if all(enough) else PARTLY if any(enough) else NO
