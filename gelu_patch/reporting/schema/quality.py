"""How good the outputs of a run are, and how far they lie from another's."""

from __future__ import annotations

from gelu_patch.reporting.schema.section import Interval, Section


class Quality(Section):
    """One metric of one arm, with its interval (two-sided 95 %). ``value`` is a fraction, not percent."""

    metric: str
    higher_is_better: bool = True
    value: float
    ci: Interval | None = None
    ci_method: str | None = None
    n: int = 0


class Histogram(Section):
    """Counts of positive numbers between ``edges`` (one more than ``counts``); ``zeros`` are those at or below the
    first edge, among them exact zeros."""

    edges: list[float] = []
    counts: list[int] = []
    zeros: int = 0


class Fidelity(Section):
    """How far the candidate's outputs lie from the baseline's, on the same examples.

    ``noise`` is the baseline against its own numeric-noise arm. ``dlogit_histogram`` counts examples by their
    largest absolute logit difference.
    """

    top1_agreement: float | None = None
    kl_mean: float | None = None
    kl_p99: float | None = None
    max_abs_dlogit: float | None = None
    per_layer_rel_err: list[float] = []
    dlogit_histogram: Histogram | None = None
    noise: Fidelity | None = None
