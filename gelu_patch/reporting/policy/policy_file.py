"""Policies in files, and the policy that a baseline run was fixed to before anybody looked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from gelu_patch.errors import DataError, EnvironmentProblem, UsageError
from gelu_patch.reporting.policy.margins import make_policy
from gelu_patch.reporting.schema import Policy, Section
from gelu_patch.reporting.storage.files import write_text
from gelu_patch.reporting.storage.run_folder import POLICY, now
from gelu_patch.reporting.storage.settings_file import read_settings

EXAMPLE = "margins: {accuracy: 1.0pp, latency: +2%}"


def _as_text(value: Any) -> Any:
    """YAML reads ``0.005`` as a number; a margin is text. Booleans, lists and the like stay what they are: wrong."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return format(value, ".12f").rstrip("0").rstrip(".")
    return value


class PolicyFile(BaseModel):
    """What a policy file may say. Every key is optional."""

    model_config = ConfigDict(extra="forbid", strict=True)

    margins: dict[str, Annotated[str, BeforeValidator(_as_text)]] = Field(
        {}, description="metric: amount, such as accuracy: 1.0pp, nll: 0.005, latency: +2%"
    )
    primary: list[str] = Field([], description="the metrics that can say DO NOT SHIP")
    required: list[str] = Field([], description="metrics that must have been measured")
    ignore: list[str] = Field([], description="metrics that are shown and decide nothing")
    alpha: float = Field(0.025, gt=0, lt=0.5, description="one-sided error rate; 0.025 means 95 % intervals")
    minimum_seeds: int = Field(5, ge=2, description="fewer training seeds than this are PRELIMINARY")
    require_gain: bool = Field(False, description="exit with 1 when nothing got better")


def read_policy(path: str | Path, margins: Mapping[str, str] | None = None) -> Policy:
    """Read a policy from YAML (or JSON) or, by its ending, TOML; ``margins`` replace those of the file.

    Raises UsageError when there is no such file, it cannot be parsed, or it says what cannot be meant.
    """
    path = Path(path)
    found = read_settings(path, PolicyFile, kind="policy", example=EXAMPLE)
    fields = found.model_dump()
    fields["margins"] |= dict(margins or {})
    try:
        return make_policy(**fields, source="cli" if margins else "file")
    except UsageError as error:
        why = "\n         ".join(part for part in (error.what, error.why) if part)
        raise UsageError(f"cannot use the policy {path}", why=why, next_step=error.next_step) from error


class FixedPolicy(Section):
    """``policy.json`` of a baseline run: the policy, and which verb fixed it when."""

    policy: Policy
    by: Literal["eval", "train", "compare"]
    fixed: str


def fix_policy(folder: Path, policy: Policy, by: Literal["eval", "train", "compare"]) -> None:
    """Write ``policy.json`` into a run folder, unless one is there: what was fixed first stays.

    ``eval`` and ``train`` fix a policy before anybody can look; a first ``compare`` fixes the one it used.
    """
    if not (folder / POLICY).exists():
        fixed = FixedPolicy(policy=policy, by=by, fixed=now())
        write_text(folder / POLICY, fixed.model_dump_json(indent=1) + "\n")


def read_fixed_policy(folder: Path) -> FixedPolicy | None:
    """Return what ``fix_policy`` wrote, or None. Raises DataError when it is damaged."""
    path = folder / POLICY
    if not path.is_file():
        return None
    try:
        return FixedPolicy.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot read {path}", why=str(error), next_step="evaluate the baseline again: the file is damaged"
        ) from error


def policy_for(folder: Path | None, chosen: Policy | None) -> Policy:
    """Return the policy of a comparison with the baseline run in ``folder`` (None: a run in memory).

    Without a ``chosen`` one it is the one that the baseline was fixed to, or the default. ``fixed_before_run`` says
    how the two go together, and a baseline without one keeps this one, so that a margin changed later is noticed.
    """
    fixed = read_fixed_policy(folder) if folder else None
    policy = chosen or (fixed.policy if fixed else make_policy())
    if fixed:
        same = fixed.policy.sha256 == policy.sha256
        vouched = None if fixed.by == "compare" else True
        return policy.model_copy(update={"fixed_before_run": vouched if same else False})
    if folder:
        try:
            fix_policy(folder, policy, "compare")
        except EnvironmentProblem:  # a baseline that nobody may write is a baseline all the same
            return policy
    return policy
