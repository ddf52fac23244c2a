"""The rows on disk: one JSON line a class, appended as they come, so that a run can be continued."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Row = dict[str, Any]

FAILED = ("not imported", "not built", "not run", "crashed", "check failed", "not deterministic")


class Results:
    """Rows by (folder, class); the last line about a class counts."""

    def __init__(self, path: Path, fresh: bool = False) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        if fresh:
            path.unlink(missing_ok=True)
        self.rows: dict[tuple[str, str], Row] = {}
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                if line.strip():
                    self._keep(json.loads(line))

    def add(self, row: Row) -> None:
        """Keep a row and append it to the file at once."""
        self._keep(row)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def finished(self, folder: str, name: str, retry_failed: bool = False) -> bool:
        """Tell whether a class has a row; with ``retry_failed`` only if that row is no failure."""
        row = self.rows.get((folder, name))
        return row is not None and not (retry_failed and (row["status"] in FAILED or row.get("passed") is False))

    def compact(self) -> None:
        """Write the file anew: one line a class, sorted."""
        ordered = sorted(self.rows.items())
        text = "".join(json.dumps(row) + "\n" for _, row in ordered)
        self.path.write_text(text, encoding="utf-8")

    def _keep(self, row: Row) -> None:
        self.rows[row["folder"], row["class"]] = row
