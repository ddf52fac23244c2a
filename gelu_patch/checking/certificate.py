"""The accuracy certificate: many checks, which of them were asked for, and what PyTorch's own ops do at the same x."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, Field

from gelu_patch.activations.base import activations
from gelu_patch.checking.inputs import DTYPES, dtype_of
from gelu_patch.checking.kernel import OnProgress, check_kernels
from gelu_patch.checking.results import DIRECTIONS, KernelCheck
from gelu_patch.environment import DISTRIBUTION, __version__, fingerprint, git_commit
from gelu_patch.kernels import Accepted, Request, ask, kernels
from gelu_patch.kernels.eager import EagerKernel

REFERENCE = EagerKernel.name  # PyTorch's own ops


class Refusal(BaseModel):
    """A kernel that was asked for and does not serve these activations and dtypes."""

    kernel: str
    activations: list[str]
    dtypes: list[str]
    reason: str
    next_step: str = ""


@dataclass(frozen=True)
class Case:
    """One activation, dtype and direction, computed by ``wanted`` kernels and by the reference beside them."""

    activation: str
    dtype: str
    direction: str
    device: str
    long: bool
    wanted: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.activation} {self.direction} {self.dtype}"

    @property
    def kernels(self) -> tuple[str, ...]:
        """The kernels to run: the wanted ones, and the reference where it serves."""
        serves = REFERENCE in kernels and _refusal(REFERENCE, self.activation, self.dtype, self.device) is None
        return tuple(dict.fromkeys((*self.wanted, REFERENCE))) if serves else self.wanted

    def run(self, on_progress: OnProgress | None = None) -> list[KernelCheck]:
        """Check all kernels of this case over the same inputs."""
        return check_kernels(
            self.activation,
            self.kernels,
            dtype_of(self.dtype),
            self.direction,
            device=self.device,
            long=self.long,
            on_progress=on_progress,
        )


class Certificate(BaseModel):
    """Checks with the environment that they were made in. ``not_run`` lists what an interruption left out."""

    tool: str = Field(default_factory=lambda: f"{DISTRIBUTION} {__version__}")
    git: str | None = Field(default_factory=git_commit)
    created: datetime = Field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))
    environment: dict[str, Any] = Field(default_factory=fingerprint)
    checks: list[KernelCheck] = []
    refused: list[Refusal] = []
    not_run: list[str] = []

    @property
    def broken(self) -> list[KernelCheck]:
        """The checks whose kernel does not do what it declares."""
        return [check for check in self.checks if not check.kept]

    def beside(self, check: KernelCheck) -> KernelCheck | None:
        """Return the reference's check of the same case, or None."""
        same = (each for each in self.checks if each.case == check.case and each.kernel == REFERENCE != check.kernel)
        return next(same, None)

    def to_json(self) -> str:
        """Return JSON with one check on a line, so that a difference between two certificates can be read."""
        content = self.model_dump(mode="json", exclude={"checks"})
        checks = ",\n".join(check.model_dump_json() for check in self.checks)
        return json.dumps(content | {"checks": []}, indent=1).replace('"checks": []', f'"checks": [\n{checks}\n ]', 1)


def plan_cases(
    activation_names: Sequence[str] = (),
    kernel_names: Sequence[str] = (),
    dtype_names: Sequence[str] = (),
    *,
    device: str = "cpu",
    long: bool = False,
) -> tuple[list[Case], list[Refusal]]:
    """Return what is to be checked, and what the kernels refuse. Nothing named means everything registered.

    Raises UnknownName for names that are in no registry.
    """
    chosen = [activations.get(name).name for name in activation_names] or activations.names()
    workers = [kernels.get(name).name for name in kernel_names] or [
        kernel.name for kernel in sorted(kernels, key=lambda kernel: -kernel.priority)
    ]
    dtypes = [name for name in dtype_names if dtype_of(name)] or list(DTYPES)
    cases, refusals = [], []
    for activation, dtype in itertools.product(dict.fromkeys(chosen), dict.fromkeys(dtypes)):
        answers = {worker: _refusal(worker, activation, dtype, device) for worker in workers}
        refusals += [refusal for refusal in answers.values() if refusal]
        wanted = tuple(worker for worker, refusal in answers.items() if refusal is None)
        if wanted:
            cases += [Case(activation, dtype, direction, device, long, wanted) for direction in DIRECTIONS]
    return cases, _joined(refusals)


def _refusal(kernel: str, activation: str, dtype: str, device: str) -> Refusal | None:
    answer = ask(kernels.get(kernel), Request(activation, device, dtype_of(dtype)))
    if isinstance(answer, Accepted):
        return None
    return Refusal(
        kernel=kernel, activations=[activation], dtypes=[dtype], reason=answer.reason, next_step=answer.next_step
    )


def _joined(refusals: list[Refusal]) -> list[Refusal]:
    """One for each kernel and reason."""
    groups: dict[tuple[str, str], Refusal] = {}
    for each in refusals:
        one = groups.setdefault((each.kernel, each.reason), each)
        one.activations = list(dict.fromkeys([*one.activations, *each.activations]))
        one.dtypes = list(dict.fromkeys([*one.dtypes, *each.dtypes]))
    return list(groups.values())
