"""``run.log`` and ``env.json``: what happened in a run folder, and on what machine."""

from __future__ import annotations

import json
from pathlib import Path

from gelu_patch.environment import fingerprint
from gelu_patch.reporting.storage.files import writable, write_text
from gelu_patch.reporting.storage.run_folder import ENVIRONMENT, RUN_LOG, now


class Diary:
    """Appends lines with the time to ``run.log``; a rerun goes on in the same file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / RUN_LOG
        write_text(folder / ENVIRONMENT, json.dumps(fingerprint(), indent=1) + "\n")

    def write(self, text: str) -> None:
        """Append one line."""
        with writable(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(f"{now()} {' '.join(text.split())}\n")
