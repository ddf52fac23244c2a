"""``--policy`` of the verbs that make a baseline: margins that are fixed before anybody has looked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from gelu_patch.reporting.storage.run_folder import RunFolder


def _read_early(path: Path | None) -> Path | None:
    """Refuse a bad policy before hours of work and not after them."""
    from gelu_patch.reporting.policy.policy_file import read_policy

    if path is not None:
        read_policy(path)
    return path


Fixed = Annotated[
    Path | None,
    typer.Option("--policy", callback=_read_early, help="Margins of later comparisons with this run, fixed now."),
]


def fix(run: RunFolder, policy: Path | None, by: Literal["eval", "train"]) -> None:
    """Keep the policy in the run folder, where ``compare`` finds it."""
    from gelu_patch.reporting.policy.policy_file import fix_policy, read_policy

    if policy is not None:
        fix_policy(run.path, read_policy(policy), by)
