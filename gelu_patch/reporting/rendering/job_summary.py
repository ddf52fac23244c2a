"""A CI job shows what is appended to the file that ``GITHUB_STEP_SUMMARY`` names."""

from __future__ import annotations

import os
from pathlib import Path

from gelu_patch.reporting.storage.files import writable

VARIABLE = "GITHUB_STEP_SUMMARY"


def append_to_job_summary(markdown: str) -> Path | None:
    """Append Markdown to the summary of the CI job and return its file; None outside of such a job.

    Raises EnvironmentProblem when the file cannot be written.
    """
    name = os.environ.get(VARIABLE)
    if not name:
        return None
    path = Path(name)
    with writable(path), path.open("a", encoding="utf-8") as file:
        file.write(f"{markdown.rstrip()}\n\n")
    return path
