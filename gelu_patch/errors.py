"""One root exception, and the exit codes of the command line.

Every error says *what* happened, *where*, *why*, and what to type *next*. The command line prints exactly
``str(error)`` and exits with ``error.exit_code``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every ``gelu-patch`` verb. DO_NOT_SHIP also says that a kernel is less exact than it declares."""

    OK = 0
    DO_NOT_SHIP = 1
    USAGE = 2
    INCONCLUSIVE = 3
    NOT_COMPARABLE = 4
    INVALID = 5
    ENVIRONMENT = 6
    INTERRUPTED = 130


class GeluPatchError(Exception):
    """Root of every error that this package raises on purpose."""

    exit_code: ExitCode = ExitCode.USAGE

    def __init__(
        self, what: str, *, where: object = None, why: str | None = None, next_step: str | None = None
    ) -> None:
        self.what = what
        self.where = None if where is None else str(where)
        self.why = why
        self.next_step = next_step
        super().__init__(what)

    def __str__(self) -> str:
        return _in_four_lines(self.what, self.where, self.why, self.next_step)

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword arguments survive pickling, so errors cross process boundaries whole.
        return (_rebuild, (type(self), self.what, self.where, self.why, self.next_step))


def _in_four_lines(what: str, where: str | None, why: str | None, next_step: str | None) -> str:
    details = (("where", where), ("why", why), ("next", next_step))
    return "\n".join([what, *(f"  {label}: {text}" for label, text in details if text)])


def _rebuild(
    kind: type[GeluPatchError], what: str, where: str | None, why: str | None, next_step: str | None
) -> GeluPatchError:
    return kind(what, where=where, why=why, next_step=next_step)


class UsageError(GeluPatchError):
    """The call or the command line asks for something that cannot be meant."""


class UnknownName(UsageError):
    """A name that is in no registry."""

    @classmethod
    def of(cls, kind: str, name: str, known: Iterable[str], *, next_step: str | None = None) -> UnknownName:
        """Build the error for ``name`` of a ``kind`` (such as "activation"), suggesting near names."""
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(repr(n) for n in near)}? " if near else ""
        return cls(
            f"unknown {kind} {name!r}",
            why=f"known {kind}s: {', '.join(names)}",
            next_step=hint + (next_step or f"use one of the known {kind}s"),
        )


class NothingToPatch(UsageError):
    """No site was replaced, and the caller did not say that this is fine."""


class PatchConflict(UsageError):
    """A patch cannot be applied or undone because somebody else changed a site."""


class GeluSurvives(UsageError):
    """A run of the patched model met a GELU that the patch should have replaced; the patch was undone."""


class UnsupportedModel(UsageError):
    """The object given is not a model that this package can handle."""


class DataError(UsageError):
    """The data was found but cannot be used as asked."""


class OutputExists(UsageError):
    """The output directory already holds another run."""


class NotComparable(GeluPatchError):
    """Two runs answer different questions, so no difference between them means anything."""

    exit_code = ExitCode.NOT_COMPARABLE


class InvalidMeasurement(GeluPatchError):
    """A measurement failed its own control."""

    exit_code = ExitCode.INVALID


class EnvironmentProblem(GeluPatchError):
    """Something outside the call is missing: a file, a device, a permission, a network."""

    exit_code = ExitCode.ENVIRONMENT


class ModelNotFound(EnvironmentProblem):
    """There is no model at this place."""


class DataNotFound(EnvironmentProblem):
    """There is no data at this place."""


class MissingExtra(EnvironmentProblem):
    """An optional dependency is not installed."""

    @classmethod
    def of(cls, package: str, extra: str, purpose: str) -> MissingExtra:
        """Build the error for ``package``, which ``extra`` installs and ``purpose`` needs."""
        return cls(
            f"{purpose} needs the package {package!r}, which is not installed",
            next_step=f'pip install "gelu-patch[{extra}]"',
        )


class Interrupted(GeluPatchError):
    """The user stopped a long run; what was finished is kept."""

    exit_code = ExitCode.INTERRUPTED


class MathematicsWarning(UserWarning):
    """Two things that belong together compute different activations."""

    @classmethod
    def saying(
        cls, what: str, *, where: object = None, why: str | None = None, next_step: str | None = None
    ) -> MathematicsWarning:
        """Build the warning with the four parts that every error has."""
        return cls(_in_four_lines(what, None if where is None else str(where), why, next_step))
