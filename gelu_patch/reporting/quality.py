"""The quality of two arms on the same examples: accuracy, loss, and how far the outputs moved."""

from __future__ import annotations

import numpy as np

from gelu_patch.reporting.metrics import METRICS
from gelu_patch.reporting.policy import margin_of
from gelu_patch.reporting.predictions import Predictions
from gelu_patch.reporting.schema import Fidelity, Policy, Result
from gelu_patch.reporting.states import quality_state
from gelu_patch.stats.bootstrap import MINIMUM_EFFECTIVE_COUNT, studentised_mean
from gelu_patch.stats.paired import mcnemar_p, minimum_n, tango_interval
from gelu_patch.stats.power import needed_n

FEW_FLIPS = 10


def accuracy_result(before: Predictions, after: Predictions, policy: Policy) -> Result:
    """Compare the share of right predictions by Tango's score interval; ``diff`` is a fraction."""
    metric = METRICS.get("accuracy")
    right_before, right_after = before.correct, after.correct
    b, c, n = int((right_before & ~right_after).sum()), int((~right_before & right_after).sum()), len(before)
    baseline, candidate = float(right_before.mean()), float(right_after.mean())
    margin = margin_of(policy, metric.name).against(baseline)
    interval = tango_interval(b, c, n)
    state = quality_state(interval, margin)
    too_few = n < minimum_n(margin) and state in ("NON_INFERIOR", "INCONCLUSIVE")
    if too_few:  # lucky flips do not make up for a size that was refused before looking
        state = "INCONCLUSIVE"
    result = Result(
        metric=metric.name,
        higher_is_better=metric.higher_is_better,
        primary=metric.primary,
        baseline=baseline,
        candidate=candidate,
        diff=(c - b) / n,
        ci=interval,
        method="tango",
        margin=-margin,
        identical=before.same_outputs(after),
        b=b,
        c=c,
        n=n,
        p_difference=mcnemar_p(b, c),
        state=state,
    )
    if state == "INCONCLUSIVE":
        result.n_needed_80 = needed_n((b + c) / n, margin)
    if 0 < b + c < FEW_FLIPS:
        result.warnings.append(f"only {b + c} predictions flipped: the flip rate itself is uncertain")
    if too_few:
        result.warnings.append(f"{n} examples can never pass this margin, the minimum is {minimum_n(margin)}")
    return result


def nll_result(before: Predictions, after: Predictions, policy: Policy, *, seed: int = 0) -> Result:
    """Compare the mean negative log-likelihood (nat per example) by the studentised paired bootstrap."""
    metric = METRICS.get("nll")
    loss_before, loss_after = before.nll, after.nll
    baseline, candidate = float(loss_before.mean()), float(loss_after.mean())
    margin = margin_of(policy, metric.name).against(baseline)
    differences = loss_before - loss_after  # a lower loss is better, so worse is negative
    found = studentised_mean(differences, seed=seed)
    interval, method, warnings = found.interval, "studentised bootstrap", list[str]()
    if not found.reliable:
        # With differences this small, no weighting of these examples can cross the margin, whoever carries them.
        if np.abs(differences).max() < margin:
            interval, method = (float(differences.min()), float(differences.max())), "range of the differences"
        else:
            interval = None
            warnings.append(
                f"the difference rests on the weight of {found.effective_count:.1f} examples "
                f"(at least {MINIMUM_EFFECTIVE_COUNT:.0f} are needed), so no interval can be trusted"
            )
    return Result(
        metric=metric.name,
        higher_is_better=metric.higher_is_better,
        primary=metric.primary,
        baseline=baseline,
        candidate=candidate,
        diff=found.mean,
        ci=interval,
        method=method,
        margin=-margin,
        identical=before.same_outputs(after),
        n=len(before),
        state=quality_state(interval, margin),
        warnings=warnings,
    )


def fidelity(before: Predictions, after: Predictions) -> Fidelity:
    """Return how far the candidate's outputs lie from the baseline's.

    ``kl_mean`` and ``kl_p99`` are of KL(baseline || candidate) per example, in nat; ``max_abs_dlogit`` is over
    all examples and classes.
    """
    log_p, log_q = before.log_probabilities, after.log_probabilities
    # Rounding can leave a divergence of -1e-17, which is a zero.
    divergence = np.maximum((np.exp(log_p) * (log_p - log_q)).sum(axis=1), 0)
    moved = np.abs(after.class_logits.astype(np.float64) - before.class_logits.astype(np.float64))
    return Fidelity(
        top1_agreement=float((before.pred == after.pred).mean()),
        kl_mean=float(divergence.mean()),
        kl_p99=float(np.quantile(divergence, 0.99)),
        max_abs_dlogit=float(moved.max()),
    )
