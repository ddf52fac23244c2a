"""The running errors of one kernel, region by region, over chunk after chunk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np
import numpy.typing as npt
import torch

from gelu_patch.activations.base import Array
from gelu_patch.checking.regions import Region
from gelu_patch.checking.results import RegionErrors
from gelu_patch.kernels import Bound

SUBNORMAL = "subnormal results"


@dataclass
class _Largest:
    """The largest value so far and the x where it was."""

    value: float | None = None
    at: float | None = None

    def update(self, values: Array, x: Array) -> None:
        place = int(values.argmax())
        if self.value is None or values[place] > self.value:
            self.value, self.at = float(values[place]), float(x[place])


@dataclass(frozen=True)
class Truth:
    """A chunk of inputs with everything that does not depend on the kernel. All arrays are float64 and parallel."""

    x: Array
    y: Array
    size: Array  # |y|
    ulp: Array

    def __getitem__(self, part: slice | npt.NDArray[np.bool_]) -> Truth:
        return Truth(self.x[part], self.y[part], self.size[part], self.ulp[part])


@dataclass
class _Row:
    region: Region | None  # None: subnormal results, of any x
    inputs: int = 0
    rounded: int = 0
    misrounded: int = 0
    not_finite: int = 0
    not_finite_at: float | None = None
    ulp: _Largest = field(default_factory=_Largest)
    absolute: _Largest = field(default_factory=_Largest)
    used: _Largest = field(default_factory=_Largest)

    def add(self, truth: Truth, error: Array, bound: Bound) -> None:
        self.inputs += len(error)
        if not np.isfinite(error[error.argmax()]):  # argmax finds NaN, too
            truth, error = self._set_aside(truth, error, bound)
        if not len(error):
            return
        self.absolute.update(error, truth.x)
        with np.errstate(over="ignore"):  # above the largest number comes inf
            above = np.nextafter(bound.limit, inf)
        low, high = np.searchsorted(truth.x, (-bound.limit, above))
        if low < high:
            crossing = bound.crossing if self.region is not None and self.region.crossing else 0.0
            allowed = bound.absolute + crossing + bound.relative * truth.size[low:high]
            with np.errstate(invalid="ignore", divide="ignore"):
                used = error[low:high] / allowed  # 0 / 0 where nothing is allowed and nothing is wrong
            self.used.update(np.nan_to_num(used, nan=0.0, posinf=inf), truth.x[low:high])
        self.rounded += len(error)
        ulps = error / truth.ulp
        self.misrounded += int(np.count_nonzero(ulps > 0.5))
        if self.region is not None and not self.region.crossing:
            self.ulp.update(ulps, truth.x)

    def _set_aside(self, truth: Truth, error: Array, bound: Bound) -> tuple[Truth, Array]:
        """Count the results that are not finite, and go on with the others."""
        bad = ~np.isfinite(error)
        self.not_finite += int(bad.sum())
        self.not_finite_at = float(truth.x[bad][0]) if self.not_finite_at is None else self.not_finite_at
        declared = truth.x[bad & (np.abs(truth.x) <= bound.limit)]
        if len(declared):
            self.used.update(np.full_like(declared, inf), declared)
        return truth[~bad], error[~bad]

    def result(self) -> RegionErrors:
        return RegionErrors(
            region=SUBNORMAL if self.region is None else self.region.label,
            low=None if self.region is None else self.region.low,
            high=None if self.region is None else self.region.high,
            crossing=self.region is not None and self.region.crossing,
            inputs=self.inputs,
            max_ulp=self.ulp.value,
            max_ulp_at=self.ulp.at,
            max_abs=self.absolute.value,
            max_abs_at=self.absolute.at,
            misrounded=self.misrounded / self.rounded if self.rounded else None,
            not_finite=self.not_finite,
            not_finite_at=self.not_finite_at,
            bound_used=self.used.value,
            bound_used_at=self.used.at,
        )


class Tally:
    """Errors of one kernel in every region. ``add`` takes chunks whose x ascend."""

    def __init__(self, parts: Sequence[Region], dtype: torch.dtype, bound: Bound) -> None:
        self._rows = [_Row(part) for part in parts]
        self._subnormal = _Row(None)
        self._borders = np.array([part.low for part in parts[1:]])
        self._limits = torch.finfo(dtype)
        self._bound = bound

    def add(self, truth: Truth, found: Array) -> None:
        """Take the results ``found`` at ``truth.x`` in."""
        with np.errstate(invalid="ignore"):
            error = np.abs(found - truth.y)
        ends = [0, *np.searchsorted(truth.x, self._borders).tolist(), len(error)]
        for row, begin, end in zip(self._rows, ends[:-1], ends[1:], strict=True):
            if begin < end:
                self._add(row, truth[begin:end], error[begin:end])

    def _add(self, row: _Row, truth: Truth, error: Array) -> None:
        largest = truth.size.max()
        if largest < self._limits.tiny:
            row = self._subnormal
        elif truth.size.min() < self._limits.tiny:
            small = truth.size < self._limits.tiny
            self._subnormal.add(truth[small], error[small], self._bound)
            truth, error = truth[~small], error[~small]
        if largest > self._limits.max:  # the right result is inf: only NaN is an error
            beyond = truth.size > self._limits.max
            error = np.where(beyond, np.where(np.isnan(error), np.nan, 0.0), error)
        if len(error):
            row.add(truth, error, self._bound)

    def results(self) -> list[RegionErrors]:
        """Return the rows, from left to right; the last one has what is below the normal numbers."""
        return [row.result() for row in (*self._rows, self._subnormal)]
