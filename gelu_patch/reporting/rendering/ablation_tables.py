"""An ablation in two tables: who is better, and how they trained."""

from __future__ import annotations

from gelu_patch.reporting.rendering.tables import Table
from gelu_patch.reporting.schema import Ablation, AblationArm, Interval, Result
from gelu_patch.reporting.wording import MISSING, Shown, label_of, plural, shown, unit_of, value_text


def ablation_tables(ablation: Ablation) -> list[Table]:
    """Return the ranking and the table of convergence and stability, a row per arm, the best first."""
    return [ranking_table(ablation), stability_table(ablation)]


def ranking_table(ablation: Ablation) -> Table:
    """Return the arms by the final metric, with their differences from the baseline and Holm's intervals."""
    metric = ablation.label or label_of(ablation.metric)
    interval = f"{100 * (1 - ablation.alpha):.3g} % CI (Holm)"
    header = (
        "activation",
        metric,
        "SD",
        f"difference to {ablation.baseline}",
        interval,
        "p (Holm)",
        "tied with",
        "result",
    )
    rows = [
        (
            f"{arm.rank} {arm.name}",
            value_text(ablation.metric, arm.mean),
            _spread(ablation.metric, arm.sd),
            *_difference(ablation, arm),
            MISSING if arm.p_holm is None else f"{arm.p_holm:.2g}",
            ", ".join(arm.tied) or MISSING,
            _result(arm),
        )
        for arm in ablation.arms
    ]
    return Table(f"Ranking by {metric}", header, rows)


def stability_table(ablation: Ablation) -> Table:
    """Return how the arms trained, in the order of the ranking."""
    target = "target" if ablation.target_loss is None else f"{ablation.target_loss:.4g}"
    header = (
        "activation", "mean loss", "final loss", f"steps to loss {target}", "NaN steps",
        "max gradient", "near zero", "dead units", "diverged",
    )  # fmt: skip
    rows = [
        (
            f"{arm.rank} {arm.name}",
            _number(arm.loss_auc),
            _number(arm.final_loss),
            _steps(ablation, arm),
            f"{arm.nan_steps:,}",
            _number(arm.grad_norm_largest),
            _share(arm.near_zero),
            _share(arm.dead),
            _diverged(arm),
        )
        for arm in ablation.arms
    ]
    return Table("Convergence and stability", header, rows)


def ablation_sentences(ablation: Ablation) -> list[str]:
    """Return what the ranking says, and how it is to be read."""
    return [_finding(ablation), *_reading(ablation)]


def _finding(ablation: Ablation) -> str:
    names: dict[tuple[str, bool], list[str]] = {}
    for arm in ablation.arms:
        if arm.outcome in _VERBS:
            names.setdefault((arm.outcome, arm.within_margin), []).append(arm.name)
    order = list(_VERBS)
    return "; ".join(
        f"{', '.join(names[key])}: {_VERBS[key[0]].format(ablation.baseline)}"
        + (f" (within the margin of {_margin(ablation)})" if key[1] else "")
        for key in sorted(names, key=lambda key: (order.index(key[0]), key[1]))
    )


_VERBS = {
    "better": "better than {}",
    "worse": "worse than {}",
    "not told apart": "not told apart from {}",
    "diverged": "diverged",
    "no interval": "no interval against {}",
}


def _margin(ablation: Ablation) -> str:
    margin = ablation.margin or 0.0
    return f"{100 * margin:.3g} pp" if unit_of(ablation.metric) == "pp" else f"{margin:.3g}"


def _result(arm: AblationArm) -> str:
    if arm.diverged:
        return f"{arm.outcome} ({_diverged(arm)})"
    return f"{arm.outcome}, within the margin" if arm.within_margin else arm.outcome


def _reading(ablation: Ablation) -> list[str]:
    level = f"{100 * ablation.alpha:.3g} %"
    lines = [
        f"Differences are paired by seed (Student's interval over {plural(ablation.arms[0].seeds, 'seed')}). "
        f"Holm's procedure keeps the chance of any wrong difference at {level} among those from {ablation.baseline}, "
        "and again among those of the other arms. Tied is what is not told apart: its order means nothing.",
    ]
    if any(arm.diverged for arm in ablation.arms):
        lines.append("An arm with a diverged run is last, and its mean is over the other seeds: it is no answer.")
    if any(arm.outcome == "no interval" for arm in ablation.arms):
        lines.append("Without two seeds in both arms, none of them diverged, there is no interval.")
    return lines


def _difference(ablation: Ablation, arm: AblationArm) -> tuple[str, str]:
    if arm.diff is None:
        return MISSING, MISSING
    text = _shown(ablation, arm.diff, arm.ci_holm)
    return text.difference, text.interval


def _shown(ablation: Ablation, diff: float, interval: Interval | None) -> Shown:
    """Write a difference as a comparison does: with the sign that a reader expects."""
    return shown(
        Result(
            metric=ablation.metric,
            higher_is_better=ablation.higher_is_better,
            diff=diff,
            ci=interval,
            method="",
            margin=0.0,
            state="INCONCLUSIVE",
        )
    )


def _diverged(arm: AblationArm) -> str:
    return f"{arm.diverged} of {arm.seeds}"


def _spread(metric: str, sd: float | None) -> str:
    if sd is None:
        return MISSING
    return f"{100 * sd:.2f} pp" if unit_of(metric) == "pp" else f"{sd:.4f}"


def _steps(ablation: Ablation, arm: AblationArm) -> str:
    if ablation.target_loss is None:
        return MISSING
    if arm.steps_to_target is None:
        return "not reached"
    missing = "" if arm.reached_target == arm.seeds else f" ({arm.reached_target} of {arm.seeds} seeds)"
    return f"{arm.steps_to_target:,.0f}{missing}"


def _number(value: float | None) -> str:
    return MISSING if value is None else f"{value:.4g}"


def _share(value: float | None) -> str:
    return MISSING if value is None else f"{100 * value:.1f} %"
