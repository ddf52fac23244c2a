"""Bars on a terminal, lines elsewhere, nothing when silent."""

import io

from rich.console import Console

from gelu_patch.runs import progress
from gelu_patch.runs.progress import ConsoleProgress, Silent


def test_lines_when_there_is_no_terminal(monkeypatch):
    target = io.StringIO()
    clock = iter([0.0, 1.0, 20.0, 21.0, 40.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with ConsoleProgress(Console(file=target)).bar("train stock") as update:
        update(1, 100, "loss 0.7")  # too early for a line
        update(50, 100, "loss 0.5")
        update(51, 100, "loss 0.5")  # too soon after the last
        update(100, 100, "loss 0.4")
    assert target.getvalue().splitlines() == [
        "train stock: 50/100, 20 s, about 20 s left loss 0.5",
        "train stock: 100/100, 40 s, about 0 s left loss 0.4",
    ]


def test_bars_on_a_terminal_may_be_nested():
    target = io.StringIO()
    shown = ConsoleProgress(Console(file=target, force_terminal=True, width=120))
    with shown.bar("train") as outer:
        outer(1, 2, "loss 0.5")
        with shown.bar("evaluate") as inner:
            inner(3, 4, "")
        outer(2, 2, "loss 0.4")
    assert "train" in target.getvalue()
    assert "evaluate" in target.getvalue()
    with shown.bar("again") as update:
        update(1, 1, "")


def test_silence():
    with Silent().bar("anything") as update:
        update(1, 2, "")
