"""The quality of two arms on the same units: accuracy, F1, Matthews and the loss, each with its paired interval."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy.stats import norm

from gelu_patch.errors import DataError
from gelu_patch.reporting.comparing.states import quality_state
from gelu_patch.reporting.policy.margins import margin_of, role_of
from gelu_patch.reporting.policy.metrics import METRICS, Metric, Role
from gelu_patch.reporting.schema import Policy, Result
from gelu_patch.reporting.storage.predictions import Predictions
from gelu_patch.stats.bootstrap import MINIMUM_EFFECTIVE_COUNT, carriers, studentised_mean
from gelu_patch.stats.counts import MINIMUM_DISCORDANT, MINIMUM_GROUPS, paired_counts
from gelu_patch.stats.groups import by_group
from gelu_patch.stats.paired import mcnemar_p, minimum_n, tango_interval, z_of
from gelu_patch.stats.power import needed_n

FEW_FLIPS = 10
# Without a difference in so many units, a difference in 1 % of them would have been missed with 2.2 % probability.
ENOUGH_TO_SEE = minimum_n(0.01)
TOKEN_LOSS = "NLL / token"
_POWER = 0.8


def quality_results(before: Predictions, after: Predictions, policy: Policy) -> list[Result]:
    """Compare every metric that the predictions of both arms allow, the primary ones first."""
    results = list(_results(before, after, policy))
    return sorted(results, key=lambda result: (not result.primary, not result.gated))


def _results(before: Predictions, after: Predictions, policy: Policy) -> Iterator[Result]:
    if not before.is_language_model:
        yield accuracy_result(before, after, policy)
    if before.has_nll and after.has_nll:
        yield nll_result(before, after, policy)
    if not before.is_language_model:
        for metric in METRICS:
            # Answers without logits are often positions of a multiple choice, over which no F1 is wanted unasked.
            if metric.of_counts and (before.logits is not None or role_of(policy, metric.name) != "shown"):
                yield count_result(metric, before, after, policy)


def accuracy_result(before: Predictions, after: Predictions, policy: Policy) -> Result:
    """Compare the share of right predictions by Tango's score interval; ``diff`` is a fraction.

    Examples in groups shrink the counts by their design effect (J. N. K. Rao and A. J. Scott, Biometrics 48 (1992)
    577-585).
    """
    metric = METRICS.get("accuracy")
    right_before, right_after = before.correct, after.correct
    b, c, n = int((right_before & ~right_after).sum()), int((~right_before & right_after).sum()), len(before)
    baseline, candidate = float(right_before.mean()), float(right_after.mean())
    margin, z, groups = margin_of(policy, metric.name).against(baseline), z_of(policy.alpha), _groups(before)
    effect = 1.0 if groups is None else by_group(right_after * 1.0 - right_before, groups).design_effect
    interval = tango_interval(b / effect, c / effect, n / effect, z=z)
    result = Result(
        **_names(metric, role_of(policy, metric.name)),
        baseline=baseline,
        candidate=candidate,
        diff=(c - b) / n,
        ci=interval,
        method="tango" if effect == 1 else f"tango, design effect {effect:.2f}",
        margin=-margin,
        identical=before.same_outputs(after),
        b=b,
        c=c,
        n=n,
        n_groups=None if groups is None else len(set(groups)),
        p_difference=mcnemar_p(b, c),
        state=quality_state(interval, margin),
    )
    fewest = minimum_n(margin, z=z)
    # Lucky flips do not make up for a size that was refused before looking.
    if n < fewest and result.state in ("NON_INFERIOR", "INCONCLUSIVE"):
        _withhold(result, f"{n} examples can never pass this margin, the minimum is {fewest}")
    _require_groups(result)
    if result.state == "INCONCLUSIVE":
        result.n_needed_80 = math.ceil(effect * needed_n((b + c) / n, margin, z=z))
    if 0 < b + c < FEW_FLIPS:
        result.warnings.append(f"only {b + c} predictions flipped: the flip rate itself is uncertain")
    return result


def count_result(metric: Metric, before: Predictions, after: Predictions, policy: Policy, *, seed: int = 0) -> Result:
    """Compare a metric of counts by the paired percentile bootstrap; with few discordant examples nothing is said."""
    if metric.of_counts is None:
        raise DataError(f"{metric.name} does not follow from counts")
    label, groups = before.class_labels, _groups(before)
    classes = before.n_classes or int(max(label.max(), before.pred.max(), after.pred.max())) + 1
    found = paired_counts(
        label,
        before.pred,
        after.pred,
        max(classes, 2),
        metric.of_counts,
        groups=groups,
        seed=seed,
        level=_level(policy),
    )
    margin, z = margin_of(policy, metric.name).against(found.before), z_of(policy.alpha)
    identical = before.same_outputs(after)
    interval = (0.0, 0.0) if identical else found.interval if found.refusal is None else None
    result = Result(
        **_names(metric, role_of(policy, metric.name)),
        baseline=found.before,
        candidate=found.after,
        diff=found.difference,
        ci=interval,
        method="identical outputs" if identical else "paired bootstrap on counts",
        margin=-margin,
        identical=identical,
        n=len(before),
        n_groups=found.groups,
        p_difference=found.p_randomised,
        state=quality_state(interval, margin),
    )
    if interval is None and found.refusal:
        result.warnings.append(f"{found.refusal}, so no interval can be trusted")
        if found.discordant:
            result.n_needed_80 = math.ceil(len(before) * MINIMUM_DISCORDANT / found.discordant)
    elif identical and len(before) < minimum_n(margin, z=z):
        _withhold(result, f"{len(before)} examples are too few, the minimum is {minimum_n(margin, z=z)}")
    elif interval is not None and result.state == "INCONCLUSIVE":
        half = (interval[1] - interval[0]) / 2
        result.n_needed_80 = _needed(len(before), half / z * math.sqrt(len(before)), margin, z)
    return result


def nll_result(before: Predictions, after: Predictions, policy: Policy, *, seed: int = 0) -> Result:
    """Compare the mean negative log-likelihood (nat) by the studentised paired bootstrap.

    Of the label for classes, and per predicted token for language models, where the document is the unit and the
    metric is the primary one; ``ratio`` is then that of the perplexities, exp(mean difference).
    """
    metric, of_text = METRICS.get("nll"), before.is_language_model
    loss_before, loss_after = before.nll, after.nll
    baseline, candidate = float(loss_before.mean()), float(loss_after.mean())
    margin, groups = margin_of(policy, metric.name).against(baseline), _groups(before)
    differences = loss_before - loss_after  # a lower loss is better, so worse is negative
    units = differences if groups is None else by_group(differences, groups).values
    found = studentised_mean(units, seed=seed, level=_level(policy))
    interval, method, warnings = found.interval, "studentised bootstrap", list[str]()
    unit = "document" if of_text else "example"
    if not found.reliable:
        interval = None
        looked_at = int(before.n_tokens.sum()) if of_text and before.n_tokens is not None else len(before)
        if np.abs(differences).max() >= margin:
            warnings.append(
                f"the difference rests on the weight of {found.effective_count:.1f} {unit}s "
                f"(at least {MINIMUM_EFFECTIVE_COUNT:.0f} are needed), so no interval can be trusted"
            )
        elif looked_at < ENOUGH_TO_SEE:
            what = "token" if of_text else "example"
            warnings.append(f"{looked_at} {what}s are too few to rule out a rare harm, the minimum is {ENOUGH_TO_SEE}")
        else:  # with differences this small, no weighting of these units crosses the margin, whoever carries them
            interval, method = (float(differences.min()), float(differences.max())), "range of the differences"
    result = Result(
        **_names(metric, role_of(policy, metric.name, usual="primary" if of_text else None)),
        label=TOKEN_LOSS if of_text else "",
        baseline=baseline,
        candidate=candidate,
        diff=found.mean,
        ci=interval,
        method=method,
        margin=-margin,
        identical=before.same_outputs(after),
        unit="document" if of_text else "example",
        n=len(before),
        n_groups=None if groups is None else len(units),
        p_difference=found.p_value,
        effective_count=found.effective_count,
        carriers_90=carriers(units),
        ratio=math.exp(-found.mean) if of_text else None,
        ratio_ci=(math.exp(-interval[1]), math.exp(-interval[0])) if of_text and interval else None,
        state=quality_state(interval, margin),
        warnings=warnings,
    )
    _require_groups(result)
    if result.state == "INCONCLUSIVE" and interval is not None:
        spread = float(units.std(ddof=1)) * math.sqrt(len(before) / len(units))
        result.n_needed_80 = _needed(len(before), spread, margin, z_of(policy.alpha))
    return result


def _names(metric: Metric, role: Role) -> dict[str, object]:
    return {
        "metric": metric.name,
        "higher_is_better": metric.higher_is_better,
        "primary": role == "primary",
        "gated": role != "shown",
    }


def _groups(predictions: Predictions) -> list[str] | None:
    """Return the groups, or None where every unit is one of its own."""
    groups = predictions.group_id
    return None if groups is None or len(set(groups)) == len(groups) else groups


def _level(policy: Policy) -> float:
    return 1 - 2 * policy.alpha


def _needed(n: int, spread: float, margin: float, z: float) -> int:
    """Return about how many units give 80 % power when truly equal: (z + z_0.8)²·spread²/margin², at least n + 1."""
    return max(n + 1, math.ceil(((z + float(norm.ppf(_POWER))) * spread / margin) ** 2))


def _require_groups(result: Result) -> None:
    if result.n_groups is not None and result.n_groups < MINIMUM_GROUPS:
        _withhold(result, f"the examples form only {result.n_groups} groups (at least {MINIMUM_GROUPS} are needed)")


def _withhold(result: Result, reason: str) -> None:
    """Let a result not pass for this reason. A harm that is proven stays proven."""
    if result.state != "INFERIOR":
        result.state = "INCONCLUSIVE"
        result.warnings.append(reason)
