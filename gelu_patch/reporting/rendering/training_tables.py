"""Training in tables: convergence and stability of every seed, gradients by layer group, activations by site."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from gelu_patch.reporting.rendering.tables import Table
from gelu_patch.reporting.schema import Arm, SeedRun
from gelu_patch.reporting.wording import MISSING


def training_tables(arms: Sequence[Arm]) -> list[Table]:
    """Return the tables of all trained arms; those without rows are left out."""
    trained = [(arm.name, arm.training.per_seed) for arm in arms if arm.training]
    tables = (
        Table(
            "Convergence and stability",
            ("arm", "seed", "steps", "mean loss", "steps to target", "gradient norm p99", "NaN steps"),
            [_stability(name, run) for name, runs in trained for run in runs],
        ),
        Table(
            "Gradient norm by group of layers, over all seeds",
            ("arm", "group", "median", "p99", "largest"),
            [row for name, runs in trained for row in _gradients(name, runs)],
        ),
        Table(
            "Activations at the sites, first to last look, mean over seeds",
            ("arm", "site", "mean", "near zero", "dead units", "most dead units"),
            [row for name, runs in trained for row in _activations(name, runs)],
        ),
    )
    return [table for table in tables if table.rows]


def _stability(name: str, run: SeedRun) -> tuple[str, ...]:
    target = MISSING
    if run.target_loss is not None:
        target = "not reached" if run.steps_to_target is None else f"{run.steps_to_target:,}"
        target += f" (loss {run.target_loss:g})"
    return (
        name,
        str(run.seed),
        f"{run.steps:,}",
        _number(run.loss_auc),
        target,
        _number(run.grad_norm_p99),
        f"{run.nan_steps}, diverged" if run.diverged else str(run.nan_steps),
    )


def _gradients(name: str, runs: Sequence[SeedRun]) -> Iterator[tuple[str, ...]]:
    found = {each.group: [] for run in runs for each in run.grad_norms}  # type: ignore[var-annotated]
    for run in runs:
        for each in run.grad_norms:
            found[each.group].append(each)
    for group, norms in found.items():
        middle = median(each.median for each in norms)
        high = median(each.p99 for each in norms)
        yield name, group, _number(middle), _number(high), _number(max(each.largest for each in norms))


def _activations(name: str, runs: Sequence[SeedRun]) -> Iterator[tuple[str, ...]]:
    sites = dict.fromkeys(each.site for run in runs for each in run.activations)
    for site in sites:
        seen = [each for run in runs for each in run.activations if each.site == site]
        yield (
            name,
            site,
            f"{_mean([each.first_mean for each in seen])} to {_mean([each.last_mean for each in seen])}",
            f"{_share([each.first_near_zero for each in seen])} to {_share([each.last_near_zero for each in seen])}",
            f"{_share([each.first_dead for each in seen])} to {_share([each.last_dead for each in seen])}",
            _share([each.most_dead for each in seen]),
        )


def _average(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _mean(values: Sequence[float | None]) -> str:
    return _number(_average(values))


def _share(values: Sequence[float | None]) -> str:
    found = _average(values)
    return MISSING if found is None else f"{found:.1%}"


def _number(value: float | None) -> str:
    return MISSING if value is None else f"{value:.4g}"
