"""What a comparison of two runs says: policy, paired results, states, verdict."""

from __future__ import annotations

from typing import Literal

from gelu_patch.reporting.schema.cost import AAControl, LatencyState, MemoryState
from gelu_patch.reporting.schema.quality import Fidelity
from gelu_patch.reporting.schema.section import Interval, Section

QualityState = Literal["SUPERIOR", "NON_INFERIOR", "INFERIOR", "EQUIVALENT", "INCONCLUSIVE"]
VerdictName = Literal[
    "SHIP", "NO GAIN", "DO NOT SHIP", "INCONCLUSIVE", "PRELIMINARY", "PARTIAL", "NOT COMPARABLE", "INVALID"
]


class Policy(Section):
    """The margins of a comparison and where they come from.

    ``required`` names the metrics that must be there: one that was not measured is no pass. ``primary`` are the
    metrics that can say DO NOT SHIP (empty: as the task has them), ``ignore`` are shown and decide nothing. ``alpha``
    is one-sided. ``fixed_before_run`` says whether the baseline run holds the hash of this very policy: True when it
    was fixed before the evaluation, False when another one was fixed, None when nothing says.
    """

    margins: dict[str, str] = {}
    required: list[str] = []
    primary: list[str] = []
    ignore: list[str] = []
    alpha: float = 0.025
    minimum_seeds: int = 5
    require_gain: bool = False
    source: Literal["file", "cli", "default"] = "default"
    fixed_before_run: bool | None = None
    sha256: str | None = None


class Result(Section):
    """One metric compared. ``diff`` = candidate - baseline, signed so that worse is negative; so is ``ci``,
    which is None when no interval can be trusted (``warnings`` says why), and ``margin`` is negative.

    ``n`` counts ``unit``s. ``b``: baseline right, candidate wrong; ``c``: baseline wrong, candidate right. Metrics
    that are not ``primary`` are guard rails, and those that are not ``gated`` are shown and decide nothing.
    ``identical``: no example differs between the arms. ``effective_count`` and ``carriers_90`` say how many units carry
    a mean difference: (Σ|d|)²/Σd², and the share of units that makes up 90 % of the change. ``ratio`` is candidate /
    baseline perplexity.
    ``p_holm`` is ``p_difference`` adjusted for the number of candidates. ``per_seed`` are the paired differences.
    """

    metric: str
    label: str = ""
    higher_is_better: bool = True
    primary: bool = True
    gated: bool = True
    baseline: float | None = None
    candidate: float | None = None
    diff: float
    ci: Interval | None
    method: str
    margin: float
    identical: bool = False
    unit: Literal["example", "document", "seed"] = "example"
    b: int | None = None
    c: int | None = None
    n: int | None = None
    n_groups: int | None = None
    p_difference: float | None = None
    p_holm: float | None = None
    effective_count: float | None = None
    carriers_90: float | None = None
    ratio: float | None = None
    ratio_ci: Interval | None = None
    per_seed: list[float] = []
    state: QualityState
    n_needed_80: int | None = None
    warnings: list[str] = []


class Divergence(Section):
    """How many training runs of each arm diverged, with Fisher's exact two-sided p-value. None is ever dropped."""

    baseline: int
    of_baseline: int
    candidate: int
    of_candidate: int
    p: float


class LatencyResult(Section):
    """One shape compared: ratio candidate / baseline with its interval, and the state at the margin."""

    shape: tuple[int, int]
    phase: str = "forward"
    baseline_p50: float
    candidate_p50: float
    ratio: float
    ci: Interval
    margin: float
    aa_control: AAControl | None = None
    valid: bool | None = None
    state: LatencyState


class MemoryResult(Section):
    """One memory figure compared, in bytes."""

    phase: str
    shape: tuple[int, int] | None = None
    quantity: str
    baseline: int
    candidate: int
    margin: float
    state: MemoryState


class Flip(Section):
    """One example that the arms predict differently. ``baseline`` and ``candidate`` are the predicted label names, the
    margins are best minus second best logit, ``kl`` is KL(baseline || candidate) in nat. ``text`` is clipped."""

    id: str
    text: str | None = None
    label: str | None = None
    baseline: str
    candidate: str
    baseline_margin: float | None = None
    candidate_margin: float | None = None
    kl: float | None = None


class Comparison(Section):
    """The candidate against the baseline: every result, then the verdict with its reasons."""

    title: str = ""
    baseline_run: str
    candidate_run: str
    comparable: bool = True
    differences: list[str] = []
    policy: Policy = Policy()
    results: list[Result] = []
    divergence: Divergence | None = None
    fidelity: Fidelity | None = None
    flips: list[Flip] = []
    latency: list[LatencyResult] = []
    memory: list[MemoryResult] = []
    verdict: VerdictName
    headline: str = ""
    reasons: list[str] = []
    warnings: list[str] = []
    exit_code: int
