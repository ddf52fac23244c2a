"""Arms that were trained with several seeds: the seed is the unit, and a diverged run is shown, never dropped."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gelu_patch.errors import DataNotFound, InvalidMeasurement, NotComparable
from gelu_patch.reporting.comparing.arms import Run, runs_of, seed_of
from gelu_patch.reporting.comparing.quality import TOKEN_LOSS
from gelu_patch.reporting.comparing.states import quality_state
from gelu_patch.reporting.policy.margins import margin_of, role_of
from gelu_patch.reporting.policy.metrics import METRICS, Metric
from gelu_patch.reporting.schema import Divergence, Policy, Result
from gelu_patch.reporting.storage.predictions import Predictions
from gelu_patch.stats.counts import marginals
from gelu_patch.stats.seeds import diverged_p, needed_seeds, seed_paired_t


@dataclass(frozen=True)
class SeedPair:
    """Both arms of one seed; predictions are None where that training run diverged and answered nothing."""

    seed: int
    runs: tuple[Run, Run]
    before: Predictions | None
    after: Predictions | None

    @property
    def whole(self) -> bool:
        """Whether both arms answered."""
        return self.before is not None and self.after is not None


def pair_seeds(baseline: Run, candidate: Run) -> list[SeedPair]:
    """Pair the runs of two arms by their seed. Raises NotComparable when the arms have other seeds, or one twice."""
    arms = [_by_seed(name, arm) for name, arm in (("baseline", baseline), ("candidate", candidate))]
    if arms[0].keys() != arms[1].keys():
        raise NotComparable(
            "the arms were trained with different seeds",
            why=f"baseline {sorted(arms[0])}, candidate {sorted(arms[1])}: only equal seeds can be paired",
            next_step="train both arms with the same --seed values",
        )
    pairs = [(seed, (arms[0][seed], arms[1][seed])) for seed in sorted(arms[0])]
    return [SeedPair(seed, runs, _answers(runs[0]), _answers(runs[1])) for seed, runs in pairs]


def divergence_of(pairs: Sequence[SeedPair]) -> Divergence | None:
    """Return how many runs of each arm diverged, or None when nothing says that they were trained."""
    if not any(run.report.training for pair in pairs for run in pair.runs):
        return None
    counts = [sum(_diverged(pair.runs[arm]) for pair in pairs) for arm in (0, 1)]
    n = len(pairs)
    return Divergence(
        baseline=counts[0], of_baseline=n, candidate=counts[1], of_candidate=n, p=diverged_p(counts[0], n, counts[1], n)
    )


def seed_results(pairs: Sequence[SeedPair], policy: Policy) -> list[Result]:
    """Compare every metric by Student's interval over the paired seeds, the primary ones first."""
    whole = [(pair.before, pair.after) for pair in pairs if pair.before is not None and pair.after is not None]
    if not whole:
        return []
    of_text = whole[0][0].is_language_model
    results = [
        _result(metric, value, pairs, policy, of_text=of_text)
        for metric, value in _values(whole[0][0], policy, of_text)
    ]
    return sorted(results, key=lambda result: (not result.primary, not result.gated))


def metric_per_seed(arm: Run, metric: str, policy: Policy) -> dict[int, float | None]:
    """Return one metric of an arm by seed, in their order: None where a training run diverged and answered nothing."""
    answers = {seed: _answers(run) for seed, run in sorted(_by_seed("arm", arm).items())}
    example = next((found for found in answers.values() if found is not None), None)
    known = () if example is None else _values(example, policy, example.is_language_model)
    value = next((of for each, of in known if each.name == metric), None)
    return {seed: None if value is None or found is None else value(found) for seed, found in answers.items()}


def _by_seed(name: str, arm: Run) -> dict[int, Run]:
    found: dict[int, Run] = {}
    for position, run in enumerate(runs_of(arm)):
        seed = seed_of(run)
        seed = position if seed is None else seed
        if seed in found:
            raise NotComparable(
                f"the {name} has two runs of seed {seed}",
                why="a seed that is counted twice makes every interval too narrow",
                next_step="keep one run per seed",
            )
        found[seed] = run
    return found


def _answers(run: Run) -> Predictions | None:
    """Return the predictions, or None where the training diverged and left none, or none that are numbers."""
    try:
        predictions = run.predictions
        predictions.require_finite()
    except (DataNotFound, InvalidMeasurement):
        if _diverged(run):
            return None
        raise
    return predictions


def _diverged(run: Run) -> bool:
    return any(each.diverged for each in run.report.training.per_seed) if run.report.training else False


Value = Callable[[Predictions], float]


def _values(example: Predictions, policy: Policy, of_text: bool) -> Iterator[tuple[Metric, Value]]:
    if not of_text:
        yield METRICS.get("accuracy"), lambda found: float(found.correct.mean())
    if example.has_nll:
        yield METRICS.get("nll"), lambda found: float(found.nll.mean())
    for metric in METRICS:
        if not of_text and metric.of_counts and (example.logits is not None or role_of(policy, metric.name) != "shown"):
            yield metric, _counted(metric)


def _counted(metric: Metric) -> Value:
    def value(found: Predictions) -> float:
        assert metric.of_counts is not None
        label = found.class_labels
        classes = found.n_classes or int(max(label.max(), found.pred.max(), 1)) + 1
        return float(metric.of_counts(marginals(label, found.pred, classes)))

    return value


def _result(metric: Metric, value: Value, pairs: Sequence[SeedPair], policy: Policy, *, of_text: bool) -> Result:
    values = np.array(
        [[value(each) if each else math.nan for each in (pair.before, pair.after)] for pair in pairs], np.float64
    )
    known = values[np.isfinite(values).all(axis=1)]
    sign = 1 if metric.higher_is_better else -1
    found = seed_paired_t(sign * known[:, 0], sign * known[:, 1], level=1 - 2 * policy.alpha)
    baseline = float(known[:, 0].mean())
    margin = margin_of(policy, metric.name).against(baseline)
    missing = len(pairs) - len(known)
    interval = None if missing else found.interval
    role = role_of(policy, metric.name, usual="primary" if of_text and metric.name == "nll" else None)
    result = Result(
        metric=metric.name,
        label=TOKEN_LOSS if of_text and metric.name == "nll" else "",
        higher_is_better=metric.higher_is_better,
        primary=role == "primary",
        gated=role != "shown",
        baseline=baseline,
        candidate=float(known[:, 1].mean()),
        diff=found.mean,
        ci=interval,
        method="t over paired seeds",
        margin=-margin,
        unit="seed",
        n=len(pairs),
        p_difference=found.p_value,
        per_seed=(sign * (known[:, 1] - known[:, 0])).tolist(),
        state=quality_state(interval, margin),
    )
    if missing:
        result.warnings.append(
            f"{missing} of {len(pairs)} pairs of seeds have a run that diverged, and a mean without them is no answer"
        )
    elif interval is None:
        result.warnings.append("one pair of seeds has no spread, so there is no interval")
    elif result.state == "INCONCLUSIVE" and found.standard_deviation:
        # The spread of the differences is that of two independent arms with 1/√2 of it each.
        try:
            result.n_needed_80 = needed_seeds(found.standard_deviation / math.sqrt(2), margin, alpha=policy.alpha)
        except ValueError:
            result.warnings.append("more than 1,000 seeds would be needed at this spread")
    return result
