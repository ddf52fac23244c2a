"""Checks as text: a table by region, ours and PyTorch's side by side, that fits 120 columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gelu_patch.checking.results import KernelCheck, RegionErrors, SpecialValue
from gelu_patch.sites.table import as_text, plain_table

if TYPE_CHECKING:  # rich takes longer to import than a model to inspect
    from rich.table import Table

WIDTH = 120


def check_text(check: KernelCheck, reference: KernelCheck | None = None) -> str:
    """Return the table of one check, beside a reference's over the same inputs, with what must be said about it."""
    sides = [check] if reference is None else [check, reference]
    kernel = f"{check.kernel} ({check.note})" if check.note else check.kernel
    lines = [f"{check.case}: {kernel}" + (f" beside {reference.kernel}" if reference is not None else "")]
    lines.append(as_text(_regions(check, reference), width=WIDTH))
    for side in sides:
        lines.append(f"  {side.kernel}: {_specials(side.specials)}")
        lines += [f"  {side.kernel}: {text}" for text in _not_finite(side.regions)]
    lines += [f"  BROKEN {text}" for text in check.broken]
    share = f"{check.bound_used:.0%} of the declared bound" if check.kept else "the declared bound is EXCEEDED"
    lines.append(f"  {check.kernel}: {share}")
    return "\n".join(lines)


def _regions(check: KernelCheck, reference: KernelCheck | None) -> Table:
    columns = ("max\nulp", "\nat x", "mis-\nrounded", "abs\nerror")
    header = ["x", "inputs", *(f"{check.kernel}\n{column}" for column in columns)]
    if reference is not None:
        header += [f"{reference.kernel}\n{column}" for column in columns if "at x" not in column]
    others: Sequence[RegionErrors | None] = reference.regions if reference is not None else [None] * len(check.regions)
    rows = []
    for own, other in zip(check.regions, others, strict=True):
        at = own.max_ulp_at if own.max_ulp is not None else own.max_abs_at
        row = [own.region, f"{own.inputs:,}", _ulp(own), _number(at), _share(own), _size(own)]
        if other is not None:
            row += [_ulp(other), _share(other), _size(other)]
        rows.append(
            [*row, "BROKEN" if own.broken else "less exact" if other is not None and own.worse_than(other) else ""]
        )
    table = plain_table([*header, ""], rows)
    table.padding = (0, 1, 0, 0)
    for column in table.columns[1:-1]:
        column.justify = "right"
    return table


def _ulp(row: RegionErrors) -> str:
    if row.max_ulp is None:
        return "-"
    return f"{row.max_ulp:.3f}" if row.max_ulp < 1000 else f"{row.max_ulp:.1e}"


def _share(row: RegionErrors) -> str:
    return "-" if row.misrounded is None else f"{row.misrounded:.1%}"


def _size(row: RegionErrors) -> str:
    return "-" if row.max_abs is None else f"{row.max_abs:.1e}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _specials(values: Sequence[SpecialValue]) -> str:
    wrong = [f"{each.name} -> {each.found:.7g}, not {each.truth:.7g}" for each in values if not each.right]
    return f"right at all {len(values)} special values" if not wrong else f"wrong at {'; '.join(wrong)}"


def _not_finite(rows: Sequence[RegionErrors]) -> list[str]:
    return [
        f"{row.not_finite:,} results in {row.region} are not finite where the truth is, first at {row.not_finite_at}"
        for row in rows
        if row.not_finite
    ]


LEGEND = (
    "Errors in ulp of the result's dtype, and the share of results that are not the nearest number, are of normal\n"
    "results; - where there is none, or where it says nothing: below the smallest normal number and where the\n"
    "derivative crosses 0 the absolute error counts. less exact: more than 0.01 ulp (1 % of an absolute error) above\n"
    "PyTorch's. BROKEN: above what the kernel declares."
)
