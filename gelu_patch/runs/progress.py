"""Progress of long work: bars with the time that is left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichBars

# Called with (done, in all, a short note such as the loss).
Update = Callable[[int, int, str], None]

SECONDS_BETWEEN_LINES = 15.0


class Progress(Protocol):
    """Something that can show how far a piece of work is."""

    @contextmanager
    def bar(self, title: str) -> Iterator[Update]:
        """Show one piece of work for the length of the block."""
        yield _ignore

    def note(self, text: str) -> None:
        """Say something that the user should know."""


def _ignore(done: int, total: int, note: str = "") -> None:
    """Show nothing."""


class Silent:
    """No progress at all, for tests and for use as a library."""

    @contextmanager
    def bar(self, title: str) -> Iterator[Update]:
        """Show nothing."""
        yield _ignore

    def note(self, text: str) -> None:
        """Say nothing."""


class ConsoleProgress:
    """Bars on a terminal; a line now and then, with the time left, when the output is a file or a pipe."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bars: RichBars | None = None  # open while a bar is; bars inside a bar join it

    @contextmanager
    def bar(self, title: str) -> Iterator[Update]:
        """Show one piece of work for the length of the block."""
        if self.console.is_terminal:
            with self._rich_bar(title) as update:
                yield update
        else:
            yield _Lines(self.console, title)

    def note(self, text: str) -> None:
        """Print one line."""
        self.console.print(f"note: {text}")

    @contextmanager
    def _rich_bar(self, title: str) -> Iterator[Update]:
        with self._open_bars() as bars:
            task = bars.add_task(title, total=None, note="")

            def update(done: int, total: int, note: str = "") -> None:
                bars.update(task, completed=done, total=total, note=note)

            yield update

    @contextmanager
    def _open_bars(self) -> Iterator[RichBars]:
        if self._bars is not None:
            yield self._bars
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with RichBars(*columns, console=self.console) as self._bars:
            try:
                yield self._bars
            finally:
                self._bars = None


class _Lines:
    def __init__(self, console: Console, title: str) -> None:
        self.console = console
        self.title = title
        self.started = self.shown = time.monotonic()
        self.first: int | None = None  # a run that goes on does not begin at 0

    def __call__(self, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        self.first = done - 1 if self.first is None else self.first
        if done < total and now - self.shown < SECONDS_BETWEEN_LINES:
            return
        self.shown = now
        elapsed = now - self.started
        left = elapsed / max(done - self.first, 1) * (total - done)
        self.console.print(f"{self.title}: {done}/{total}, {elapsed:.0f} s, about {left:.0f} s left {note}".rstrip())
