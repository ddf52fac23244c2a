"""A plan: which site gets which activation by which kernel. Pure data: print, compare, save, load, apply later."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from rich.console import Group

from gelu_patch.activations.base import activations
from gelu_patch.environment import DISTRIBUTION, package_version
from gelu_patch.errors import DataError, DataNotFound
from gelu_patch.memory import DEFAULT, Memory
from gelu_patch.sites.base import Form
from gelu_patch.sites.table import as_text, collapse, plain_table


class Change(BaseModel):
    """One site to replace: at every owner, from one activation to another, by one kernel."""

    model_config = ConfigDict(frozen=True)

    site: str
    owners: tuple[str, ...]
    form: Form
    implementation: str
    before: str
    after: str
    kernel: str
    fused_with: tuple[str, ...] = ()  # the Linears that are computed together with it

    @property
    def name(self) -> str:
        """The dotted path of the site."""
        return self.site

    @property
    def changes_mathematics(self) -> bool:
        """Whether the site computes another function afterwards."""
        return self.before != self.after

    @property
    def changes_values(self) -> bool:
        """Whether it gives other values, which a saved checkpoint must say; otherwise only gradients differ."""
        return activations.get(self.before).values != activations.get(self.after).values


class Rejection(BaseModel):
    """One site that is left as it is, and why; ``by_request`` when the caller left it out or has it already."""

    model_config = ConfigDict(frozen=True)

    site: str
    reason: str
    by_request: bool = False

    @property
    def name(self) -> str:
        """The dotted path of the site."""
        return self.site

    def __iter__(self) -> Iterator[str]:  # type: ignore[override]  # pairs are what people unpack
        """Unpack as ``site, reason``, which pydantic would unpack as fields."""
        return iter((self.site, self.reason))


class Plan(BaseModel):
    """What ``apply_plan`` will do to a model, and what it will leave alone."""

    model_config = ConfigDict(frozen=True)

    version: Literal[1] = 1
    gelu_patch: str | None = package_version(DISTRIBUTION)
    model: str
    target: str
    where: str | None = None
    memory: Memory = DEFAULT
    changes: tuple[Change, ...] = ()
    rejected: tuple[Rejection, ...] = ()

    @property
    def n_sites(self) -> int:
        """How many GELU sites the model has."""
        return len(self.changes) + len(self.rejected)

    @property
    def changes_mathematics(self) -> bool:
        """Whether any site computes another function afterwards."""
        return any(change.changes_mathematics for change in self.changes)

    @property
    def changes_values(self) -> bool:
        """Whether any site gives other values, which a saved checkpoint must say."""
        return any(change.changes_values for change in self.changes)

    @property
    def digest(self) -> str:
        """SHA-256 of which sites compute what: two plans with one digest give models of the same mathematics.

        Kernels, memory, versions, the target's wording and what is left alone do not count.
        """
        content = [[change.site, sorted(change.owners), change.before, change.after] for change in self.changes]
        return hashlib.sha256(json.dumps(sorted(content), separators=(",", ":")).encode()).hexdigest()

    def save(self, path: str | Path) -> Path:
        """Write the plan as JSON, in a folder that is made where it is missing."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: str | Path) -> Plan:
        """Read a plan. Raises DataNotFound when the file is absent, DataError when it is no plan."""
        try:
            return cls.from_dict(json.loads(Path(path).read_text(encoding="utf-8")), where=path)
        except FileNotFoundError:
            raise DataNotFound(f"there is no plan at {path}", next_step="write one with plan.save(path)") from None
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise DataError(f"cannot read the plan {path}", why=str(error)) from error

    @classmethod
    def from_dict(cls, data: Any, *, where: object = None) -> Plan:
        """Check plain data and return the plan. Raises DataError, naming the first thing that is wrong."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the file"
            raise DataError(
                "this is no plan that this version of gelu-patch can apply",
                where=where,
                why=f"{place}: {first['msg']}",
                next_step="make it again with gelu_patch.plan_patch(model, target).save(path)",
            ) from error

    def diff(self, other: Plan) -> list[str]:
        """Return one line for each site that the two plans treat differently."""
        mine, theirs = self._outcomes(), other._outcomes()
        absent = "not in the plan"
        return [
            f"{site}: {mine.get(site, absent)} | {theirs.get(site, absent)}"
            for site in dict.fromkeys([*mine, *theirs])
            if mine.get(site) != theirs.get(site)
        ]

    def _outcomes(self) -> dict[str, str]:
        changed = {change.site: f"{change.before} -> {change.after} by {change.kernel}" for change in self.changes}
        return changed | {rejection.site: f"left: {rejection.reason}" for rejection in self.rejected}

    def __str__(self) -> str:
        return as_text(self)

    def __rich__(self) -> Group:
        return Group(*self._parts())

    def _parts(self) -> Iterator[Any]:
        rows = [
            (pattern, *_what(group[0]), max(len(change.owners) for change in group))
            for pattern, group in collapse(self.changes, _what)
        ]
        if rows:
            yield plain_table(("site", "now", "", "planned", "kernel", "owners"), rows)
        for pattern, rejections in collapse(self.rejected):
            reasons = dict.fromkeys(rejection.reason for rejection in rejections)
            yield f"left alone: {pattern}: {'; '.join(reasons)}"
        yield f"{self.model}: {len(self.changes)} of {self.n_sites} GELU sites to patch (target {self.target})"
        if self.memory != DEFAULT:
            yield f"memory: {self.memory}"
        if self.changes_mathematics:
            changed = {change.after for change in self.changes if change.changes_mathematics}
            distances = ", ".join(f"{name} {activations.get(name).distance.max_abs:.1e}" for name in sorted(changed))
            yield f"this changes the mathematics; largest distance from exact GELU on [-8, 8]: {distances}"
            for name in sorted(changed):
                if about := activations.get(name).approximates:
                    yield (
                        f"{name}: the gradient is approximate; the derivative of {about.of} is off by {about.rms} "
                        f"(root mean square under N(0, 1)), at most {about.largest}"
                    )


def _what(change: Change) -> tuple[str, ...]:
    return f"{change.before} ({change.implementation})", "->", change.after, _by_whom(change)


def _by_whom(change: Change) -> str:
    linears = sorted({name.rpartition(".")[2] for name in change.fused_with})
    return " + ".join([change.kernel, *linears])
