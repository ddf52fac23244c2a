"""What a check found: typed, and the same as JSON."""

from __future__ import annotations

from math import inf
from typing import Literal

from pydantic import BaseModel, ConfigDict

Direction = Literal["forward", "backward"]
DIRECTIONS: tuple[Direction, ...] = ("forward", "backward")

# The truth is a float64 formula, right to far less; and two errors that differ by less are equal.
RESOLUTION = 0.01  # ulp


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")


class RegionErrors(_Result):
    """The errors in one region of x: ``low <= x < high``, both None for the row of subnormal results.

    ``max_ulp`` and ``misrounded`` (the share of results that are not the nearest number, 0 to 1) are of normal
    results; results whose truth is below the smallest normal number have a row of their own, with absolute errors.
    ``max_ulp`` is None there, where nothing is, and where the derivative crosses 0 (``crossing``).
    ``bound_used`` is the largest error as a part of what the kernel declares: more than 1 is a broken promise.
    ``not_finite`` counts results that are inf or NaN although the truth is in the range of the dtype.
    """

    region: str
    low: float | None
    high: float | None
    crossing: bool
    inputs: int
    max_ulp: float | None = None
    max_ulp_at: float | None = None
    max_abs: float | None = None
    max_abs_at: float | None = None
    misrounded: float | None = None
    not_finite: int = 0
    not_finite_at: float | None = None
    bound_used: float | None = None
    bound_used_at: float | None = None

    @property
    def broken(self) -> bool:
        """Whether an error is larger than declared."""
        return self.bound_used is not None and self.bound_used > 1.0

    def worse_than(self, other: RegionErrors) -> bool:
        """Whether the errors are larger than those of ``other`` in the same region: in ulp, else absolutely."""
        if self.not_finite != other.not_finite:
            return self.not_finite > other.not_finite
        if self.max_ulp is not None and other.max_ulp is not None:
            return self.max_ulp > max(other.max_ulp, 0.5) + RESOLUTION
        return (self.max_abs or 0.0) > (other.max_abs or 0.0) * (1.0 + RESOLUTION)


class SpecialValue(_Result):
    """What came out at a zero, an infinity, NaN, a subnormal or an extreme number.

    ``right``: NaN for NaN, inf for an infinite truth, elsewhere finite and within the bound.
    ``declared``: whether the kernel's bound covers it; what is wrong but not declared is shown and breaks nothing.
    """

    name: str
    x: float
    truth: float
    found: float
    right: bool
    declared: bool

    @property
    def broken(self) -> bool:
        """Whether it is wrong although the kernel declares it."""
        return self.declared and not self.right


class DeclaredBound(_Result):
    """The kernel's declaration (``kernels.base.Bound``)."""

    absolute: float
    relative: float
    limit: float
    beyond: bool
    crossing: float


class KernelCheck(_Result):
    """One kernel, activation, dtype and direction against the float64 truth."""

    activation: str
    kernel: str
    version: str
    note: str  # what the kernel says of itself on this machine, such as the CPU level
    device: str
    dtype: str
    direction: Direction
    inputs: str  # which: "all 65,536", "stratified", ...
    tried: int
    seconds: float
    bound: DeclaredBound
    regions: list[RegionErrors]
    specials: list[SpecialValue]

    @property
    def broken(self) -> list[str]:
        """The regions and special values where the declaration is broken, each with where and by how much."""
        too_large = [
            f"x in {each.region}: "
            + (
                f"the error is {each.bound_used:.3g} times the declared bound at x = {each.bound_used_at:.9g}"
                if each.bound_used != inf
                else f"not finite at x = {each.bound_used_at:.9g}"
            )
            for each in self.regions
            if each.broken
        ]
        wrong = [
            f"{each.name} gives {each.found:.9g}, the truth is {each.truth:.9g}"
            for each in self.specials
            if each.broken
        ]
        return too_large + wrong

    @property
    def kept(self) -> bool:
        """Whether the kernel does what it declares."""
        return not self.broken

    @property
    def bound_used(self) -> float:
        """The largest error as a part of the declared bound."""
        return max((each.bound_used for each in self.regions if each.bound_used is not None), default=0.0)

    @property
    def case(self) -> str:
        """What was checked: "gelu backward float32 on cpu, stratified inputs". Checks of one case can be compared."""
        return f"{self.activation} {self.direction} {self.dtype} on {self.device}, {self.inputs} inputs"

    def worse_than(self, other: KernelCheck) -> list[str]:
        """Return the regions in which this kernel is less exact than ``other``."""
        return [
            ours.region for ours, theirs in zip(self.regions, other.regions, strict=True) if ours.worse_than(theirs)
        ]

    def __str__(self) -> str:
        from gelu_patch.checking.table import check_text

        return check_text(self)
