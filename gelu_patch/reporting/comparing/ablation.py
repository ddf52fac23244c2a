"""Several activations, each trained with the same seeds: which are better than the baseline, and how they trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from gelu_patch.errors import ExitCode
from gelu_patch.reporting.comparing.arms import SeedRuns
from gelu_patch.reporting.comparing.compare import compare_candidates, comparison_report
from gelu_patch.reporting.comparing.seed_quality import metric_per_seed
from gelu_patch.reporting.policy.margins import margin_of
from gelu_patch.reporting.policy.metrics import METRICS
from gelu_patch.reporting.schema import (
    Ablation,
    AblationArm,
    Comparison,
    Interval,
    Outcome,
    Policy,
    Report,
    SeedRun,
    SiteActivations,
)
from gelu_patch.stats.multiplicity import holm, holm_levels
from gelu_patch.stats.seeds import SeedDifference, seed_paired_t

Row = Sequence[float]


def ablation_report(
    title: str,
    arms: Mapping[str, SeedRuns],
    *,
    baseline: str,
    policy: Policy,
    command: Sequence[str] = (),
    notes: Sequence[str] = (),
    duration_s: float | None = None,
) -> Report:
    """Return the report of an ablation that stands alone; ``arms`` are the runs by activation, one run per seed.

    Every other activation is compared with ``baseline`` as ``compare`` would, and all of them are ranked. The exit code
    is 0 whatever the ranking says, and 5 when a run of the baseline diverged: there is nothing to compare with then.
    """
    names = [baseline, *(name for name in arms if name != baseline)]
    runs = [arms[name] for name in names]
    comparisons = compare_candidates(runs[0], runs[1:], policy=policy)
    for name, comparison in zip(names[1:], comparisons, strict=True):
        comparison.title = f"{baseline} → {name}"
    report = comparison_report(
        title, runs, comparisons, names=names, command=command, notes=notes, duration_s=duration_s
    )
    ablation = rank({name: arms[name] for name in names}, baseline, comparisons, policy)
    diverged = {arm.name: arm.diverged for arm in ablation.arms if arm.diverged}
    code = ExitCode.INVALID if baseline in diverged else ExitCode.OK
    return report.model_copy(
        update={
            "kind": "ablate",
            "run_id": report.run_id.replace("compare", "ablate", 1),
            "ablation": ablation,
            "verdict": None,
            "exit_code": int(code),
            "warnings": [f"{name}: {count} of its runs diverged" for name, count in diverged.items()],
        }
    )


def rank(arms: Mapping[str, SeedRuns], baseline: str, comparisons: Sequence[Comparison], policy: Policy) -> Ablation:
    """Rank the arms by the primary metric, and say which of them are told apart.

    The comparisons with the baseline are one family, those among the other arms another one; Holm's procedure is
    applied to each. An arm with a diverged run is last, and compared with none.
    """
    metric = _metric(arms[baseline], comparisons)
    sign, alpha = (1 if METRICS.get(metric).higher_is_better else -1), 2 * policy.alpha
    values = {name: list(metric_per_seed(arm, metric, policy).values()) for name, arm in arms.items()}
    trained = {name: _trained(arm) for name, arm in arms.items()}
    rows = {name: _row(values[name], trained[name], sign) for name in arms}
    others = [name for name in arms if name != baseline]
    against = dict(zip(others, _together([(rows[baseline], rows[name]) for name in others], alpha), strict=True))
    among = list(combinations(others, 2))
    answers = dict(zip(among, _together([(rows[a], rows[b]) for a, b in among], alpha), strict=True))
    answers |= {(baseline, name): answer for name, answer in against.items()}
    margin = _margin(policy, metric, rows[baseline])
    result = next((r for each in comparisons for r in each.results if r.metric == metric), None)
    found = [
        AblationArm(
            name=name,
            rank=0,
            outcome="baseline" if name == baseline else _outcome(against[name], trained[name]),
            seeds=len(values[name]),
            per_seed=values[name],
            tied=[_other(pair, name) for pair, answer in answers.items() if name in pair and answer.tied],
            **_told(against.get(name), margin),
            **_summary(values[name], trained[name]),
        )
        for name in arms
    ]
    found.sort(key=lambda arm: (arm.diverged, arm.mean is None, -sign * (arm.mean or 0.0)))
    targets = {run.target_loss for runs in trained.values() for run in runs}
    return Ablation(
        baseline=baseline,
        metric=metric,
        label=result.label if result else "",
        higher_is_better=sign > 0,
        alpha=alpha,
        margin=margin,
        target_loss=targets.pop() if len(targets) == 1 else None,
        arms=[arm.model_copy(update={"rank": place}) for place, arm in enumerate(found, start=1)],
    )


@dataclass(frozen=True)
class _Answer:
    """One paired difference among several: ``found`` alone, and the rest as Holm's procedure leaves it."""

    found: SeedDifference | None = None
    p_holm: float | None = None
    ci_holm: Interval | None = None

    @property
    def tied(self) -> bool:
        """Whether it was asked, and zero is among the answers."""
        return self.ci_holm is not None and self.ci_holm[0] <= 0 <= self.ci_holm[1]


def _together(questions: Sequence[tuple[Row | None, Row | None]], alpha: float) -> list[_Answer]:
    """Answer a family of questions; one that cannot be asked counts among them all the same."""
    known = [(before, after) if before and after else None for before, after in questions]
    found = [seed_paired_t(*pair) if pair else None for pair in known]
    p_values = [1.0 if each is None or each.p_value is None else each.p_value for each in found]
    answers = []
    for pair, each, p, level in zip(known, found, holm(p_values), holm_levels(p_values, alpha), strict=True):
        if pair is None or each is None or each.interval is None:
            answers.append(_Answer(each))
        else:
            answers.append(_Answer(each, p, seed_paired_t(*pair, level=1 - level).interval))
    return answers


def _metric(baseline: SeedRuns, comparisons: Sequence[Comparison]) -> str:
    primary = (result.metric for each in comparisons for result in each.results if result.primary)
    return next(primary, baseline.report.quality[0].metric if baseline.report.quality else METRICS.names()[0])


def _trained(arm: SeedRuns) -> list[SeedRun]:
    return arm.report.training.per_seed if arm.report.training else []


def _row(values: Sequence[float | None], runs: Sequence[SeedRun], sign: int) -> Row | None:
    """Return the values so that worse is smaller, or None when a seed has none or its training diverged."""
    known = [sign * value for value in values if value is not None]
    return known if len(known) == len(values) and not any(run.diverged for run in runs) else None


def _outcome(answer: _Answer, runs: Sequence[SeedRun]) -> Outcome:
    if any(run.diverged for run in runs):
        return "diverged"
    if answer.ci_holm is None:
        return "no interval"
    if answer.tied:
        return "not told apart"
    return "better" if answer.ci_holm[0] > 0 else "worse"


def _other(pair: tuple[str, str], name: str) -> str:
    return pair[1] if pair[0] == name else pair[0]


def _margin(policy: Policy, metric: str, baseline: Row | None) -> float | None:
    """Return how large a difference must be to matter, where the policy and the baseline say it."""
    if baseline is None or metric not in policy.margins:
        return None
    return margin_of(policy, metric).against(float(np.mean(baseline)))


def _told(answer: _Answer | None, margin: float | None) -> dict[str, object]:
    if answer is None or answer.found is None:
        return {}
    found = answer.found
    return {
        "diff": found.mean,
        "ci": found.interval,
        "ci_holm": answer.ci_holm,
        "p": found.p_value,
        "p_holm": answer.p_holm,
        "within_margin": bool(margin and answer.ci_holm and max(map(abs, answer.ci_holm)) < margin),
    }


def _summary(values: Sequence[float | None], runs: Sequence[SeedRun]) -> dict[str, object]:
    good = [value for value, run in zip(values, runs, strict=True) if value is not None and not run.diverged]
    reached = [run.steps_to_target for run in runs if run.steps_to_target is not None]
    norms = [run.grad_norm_largest for run in runs if run.grad_norm_largest is not None]
    return {
        "diverged": sum(run.diverged for run in runs),
        "mean": float(np.mean(good)) if good else None,
        "sd": float(np.std(good, ddof=1)) if len(good) > 1 else None,
        "final_loss": _mean(run.final_loss for run in runs),
        "loss_auc": _mean(run.loss_auc for run in runs),
        "steps_to_target": float(np.mean(reached)) if reached else None,
        "reached_target": len(reached),
        "nan_steps": sum(run.nan_steps for run in runs),
        "grad_norm_largest": max(norms, default=None),
        "near_zero": _of_sites(runs, lambda site: site.last_near_zero),
        "dead": _of_sites(runs, lambda site: site.last_dead),
    }


def _of_sites(runs: Sequence[SeedRun], share: Callable[[SiteActivations], float | None]) -> float | None:
    return _mean(share(site) for run in runs for site in run.activations)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
