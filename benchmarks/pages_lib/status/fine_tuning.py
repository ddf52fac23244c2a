"""The goals of fine-tuning."""

from __future__ import annotations

from pathlib import Path

from .goals import ROOT, Row, held_by, measured

GALLERY = ROOT / "docs" / "gallery"


def rows(results: Path) -> list[Row]:
    """Return the rows."""
    return [
        measured(
            "50 kills (-9) at random moments of training: 0 unusable resumes, the same bytes as without a kill",
            results / "kills.json", "python benchmarks/kills.py",
            lambda found: (
                f"{found['unusable']} unusable, {len(found['failures'])} other bytes; "
                f"{found['kills_while_a_checkpoint_was_written']} kills hit a checkpoint being written",
                found["kills"] >= 50 and not found["unusable"] and not found["failures"],
            ),
        ),
        held_by("a full disk never damages an existing checkpoint", "tests/training/test_checkpoints.py"),
        held_by("bad input is refused with what to do next", "tests/training", "tests/cli/test_train.py"),
    ]  # fmt: skip
