"""From the times of all processes to entries of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gelu_patch.reporting import series
from gelu_patch.reporting.comparing.states import control_holds, latency_state
from gelu_patch.reporting.schema import AAControl, ActivationShare, Latency, Memory
from gelu_patch.reporting.storage.timings import CONTROL, LIMIT, STOCK, TIMINGS, Cell, Samples
from gelu_patch.stats.timing import FloatArray, Ratio, paired_ratio

MARGIN = 0.02  # of the default policy: what a verdict should notice


def control_of(processes: Sequence[Samples], seed: int = 0) -> AAControl:
    """Return the baseline against itself."""
    found = _ratio(processes, CONTROL, seed)
    return AAControl(
        ratio=found.ratio,
        ci=found.interval,
        quantiles=series.quantiles(_all(processes, CONTROL)),
        ratio_over_time=series.medians(_ratios(processes, CONTROL)),
    )


def latency_entries(
    cell: Cell,
    processes: Sequence[Samples],
    *,
    margin: float = MARGIN,
    warmup: int = 0,
    new_tokens: int | None = None,
    seed: int = 0,
) -> dict[str, Latency]:
    """Return one entry for each arm (controls left out), the baseline first, of what all processes timed.

    ``valid`` and the states follow from the A/A control and ``margin``.
    """
    control = control_of(processes, seed)
    slim = control.model_copy(update={"quantiles": [], "ratio_over_time": []})  # once is enough in a report
    valid = control_holds(control, margin)
    baseline = _quantiles(processes, STOCK)
    entries = {}
    for arm in processes[0]:
        if arm in (CONTROL, LIMIT):
            continue
        own = _quantiles(processes, arm)
        is_baseline = arm == STOCK
        ratio = None if is_baseline else _ratio(processes, arm, seed)
        generated = new_tokens if cell.phase == "generate" else None
        entries[arm] = Latency(
            shape=cell.shape,
            phase=cell.phase,
            n_pairs=sum(len(samples[STOCK]) for samples in processes),
            n_processes=len(processes),
            warmup=warmup,
            **own,
            ratio=ratio.ratio if ratio else None,
            ratio_ci=ratio.interval if ratio else None,
            p95_ratio=None if is_baseline else own["p95"] / baseline["p95"],
            p99_ratio=None if is_baseline else own["p99"] / baseline["p99"],
            margin=margin,
            state=latency_state(ratio.interval, margin, control) if ratio else None,
            examples_per_s=cell.shape[0] / own["p50"],
            tokens_per_s=cell.shape[0] * (generated or cell.shape[1]) / own["p50"],
            new_tokens=generated,
            values_file=TIMINGS,
            quantiles=series.quantiles(_all(processes, arm)),
            ratio_over_time=[] if is_baseline else series.medians(_ratios(processes, arm)),
            aa_control=control if is_baseline else slim,
            valid=valid,
        )
    return entries


def activation_share(
    cell: Cell,
    processes: Sequence[Samples],
    *,
    n_sites: int,
    saved: tuple[Memory, Memory] | None,
    margin: float = MARGIN,
    seed: int = 0,
) -> ActivationShare:
    """Return what the activations take at ``cell``; ``saved`` is what stock and the limit keep for backward there."""
    share = ActivationShare(shape=cell.shape, phase=cell.phase, n_sites=n_sites)
    if LIMIT in processes[0]:
        found = _ratio(processes, LIMIT, seed)
        low, high = found.interval
        share.time_share, share.time_share_ci = 1 - found.ratio, (1 - high, 1 - low)
        share.best_ratio, share.best_ratio_ci = found.ratio, found.interval
        share.valid = control_holds(control_of(processes, seed), margin)
    if saved is not None:
        share.saved_share = _part(saved[0].activation_saved_bytes, saved[0].saved_for_backward_bytes)
        lost = (saved[0].saved_for_backward_bytes or 0) - (saved[1].saved_for_backward_bytes or 0)
        share.saved_limit_share = _part(lost, saved[0].saved_for_backward_bytes)
    return share


def _part(some: int | None, all_: int | None) -> float | None:
    return None if some is None or not all_ else some / all_


def _ratio(processes: Sequence[Samples], arm: str, seed: int) -> Ratio:
    return paired_ratio([_baseline(p, arm) for p in processes], [p[arm] for p in processes], seed=seed)


def _baseline(samples: Samples, arm: str) -> FloatArray:
    """Return the baseline's times of each pair, ``(times, pairs)``, to divide the times of ``arm`` by.

    The baseline ran twice in the pair, as itself and as the control. Both are less noisy than one, and the error of
    both together is not that of the control, which decides how long is measured: with one run for both,
    measurements that ended because the control agreed would have arms that are off in the control's direction.
    """
    times = [samples[STOCK]] if arm == CONTROL else [samples[STOCK], samples[CONTROL]]
    return np.asarray(times, np.float64)


def _all(processes: Sequence[Samples], arm: str) -> list[float]:
    return [seconds for samples in processes for seconds in samples[arm]]


def _ratios(processes: Sequence[Samples], arm: str) -> list[float]:
    """The ratios in the order of the pairs; for a plot, against the geometric mean of the baseline's times."""
    return [
        float(ratio)
        for samples in processes
        for ratio in samples[arm] / np.exp(np.log(_baseline(samples, arm)).mean(axis=0))
    ]


def _quantiles(processes: Sequence[Samples], arm: str) -> Mapping[str, float]:
    p50, p90, p95, p99 = (float(q) for q in np.quantile(_all(processes, arm), [0.5, 0.9, 0.95, 0.99]))
    return {"p50": p50, "p90": p90, "p95": p95, "p99": p99}
