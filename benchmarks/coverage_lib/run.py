"""The parent: goes through the catalogue with a progress bar and one worker."""

from __future__ import annotations

import time
from collections import Counter

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from .catalogue import ModelClass, classes_of, modules, prepare_transformers
from .pool import Worker
from .results import Results


def run_all(
    results: Results,
    folders: set[str] | None = None,
    classes: set[str] | None = None,
    retry_failed: bool = False,
    again: bool = False,
) -> None:
    """Check every selected class that has no row yet; ``folders`` and ``classes`` limit the selection."""
    waiting = [
        each
        for each in catalogue(results, folders)
        if (not classes or each.name in classes)
        and (again or not results.finished(each.folder, each.name, retry_failed))
    ]
    worker = Worker()
    counts: Counter[str] = Counter()
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    try:
        with Progress(*columns, refresh_per_second=2) as progress:
            task = progress.add_task("", total=len(waiting))
            for each in waiting:
                progress.update(task, description=f"{each.folder}/{each.name}  {_words(counts)}")
                started = time.perf_counter()
                row = worker.check(each)
                row.setdefault("seconds", round(time.perf_counter() - started, 2))
                results.add(row)
                counts["passed" if row.get("passed") else row["status"]] += 1
                progress.advance(task)
    finally:
        worker.close()
    results.compact()


def catalogue(results: Results, folders: set[str] | None = None) -> list[ModelClass]:
    """Return the classes of the installed Transformers; a file that cannot be imported becomes a row."""
    prepare_transformers()
    found: list[ModelClass] = []
    for folder, module in modules():
        if folders and folder not in folders:
            continue
        try:
            found += classes_of(folder, module)
        except Exception as error:
            reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
            name = f"({module.rpartition('.')[2]})"
            if (folder, name) not in results.rows:
                results.add(
                    {"folder": folder, "class": name, "status": "not imported", "reason": reason, "seconds": 0.0}
                )
    return found


def _words(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {status}" for status, count in counts.most_common())
