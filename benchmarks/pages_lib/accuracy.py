"""The rows of docs/accuracy.md from a certificate (``gelu-patch verify --json``): one for each kernel's check."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from gelu_patch.checking.certificate import Certificate
from gelu_patch.checking.results import KernelCheck, RegionErrors

from ..speed_lib.markdown import machine, table

HEADER = (
    "activation", "dtype", "direction", "inputs", "max ulp, x ≥ -9", "max ulp, x < -9", "error where y' crosses 0",
    "not nearest, -9 ≤ x < 5", "not finite", "of the bound", "less exact than PyTorch in",
)  # fmt: skip

Show = Callable[[KernelCheck], str]


def read(path: Path) -> Certificate:
    return Certificate.model_validate_json(path.read_text(encoding="utf-8"))


def rows(certificate: Certificate) -> Iterable[list[str]]:
    """Yield a row for each check that has one of PyTorch's op over the same inputs beside it: ours / PyTorch's."""
    columns: tuple[Show, ...] = (_right_of_the_tail, _tail, _crossing, _not_nearest, _not_finite)
    for check in certificate.checks:
        theirs = certificate.beside(check)
        if theirs is not None:
            pairs = (tuple(map(column, (check, theirs))) for column in columns)
            yield [
                check.activation,
                check.dtype,
                check.direction,
                check.inputs,
                *("-" if pair == ("-", "-") else " / ".join(pair) for pair in pairs),
                f"{check.bound_used:.0%}",
                ", ".join(check.worse_than(theirs)) or "-",
            ]


def _intervals(check: KernelCheck, low: float, high: float) -> list[RegionErrors]:
    """The rows of x inside of [low, high): not that of subnormal results."""
    return [row for row in check.regions if row.low is not None and low <= row.low and (row.high or 0.0) <= high]


def _largest_ulp(regions: list[RegionErrors]) -> str:
    found = max((row.max_ulp for row in regions if row.max_ulp is not None), default=None)
    return "-" if found is None else f"{found:.2f}" if found < 1000 else f"{found:.1e}"


def _right_of_the_tail(check: KernelCheck) -> str:
    return _largest_ulp(_intervals(check, -9.0, float("inf")))


def _tail(check: KernelCheck) -> str:
    return _largest_ulp(_intervals(check, -float("inf"), -9.0))


def _crossing(check: KernelCheck) -> str:
    found = max((row.max_abs for row in check.regions if row.crossing and row.max_abs is not None), default=None)
    return "-" if found is None else f"{found:.1e}"


def _not_nearest(check: KernelCheck) -> str:
    inner = _intervals(check, -9.0, 5.0)
    return (
        f"{sum(row.inputs * (row.misrounded or 0.0) for row in inner) / max(sum(row.inputs for row in inner), 1):.1%}"
    )


def _not_finite(check: KernelCheck) -> str:
    return f"{sum(row.not_finite for row in check.regions):,}"


def accuracy_table(results: Path) -> str:
    """Return the table of docs/accuracy.md."""
    result = read(results / "certificate.json")
    seconds = sum({each.case: each.seconds for each in result.checks}.values())
    levels = sorted({each.note for each in result.checks if each.note})
    missing = f" Not run: {', '.join(result.not_run)}." if result.not_run else ""
    measured = (
        f"Measured by `gelu-patch verify` at {result.git} in {seconds:.0f} s on {machine(result.environment)}; "
        f"level of the C extension: {', '.join(levels)}.{missing}"
    )
    return f"{table(HEADER, rows(result))}\n\n{measured}"
