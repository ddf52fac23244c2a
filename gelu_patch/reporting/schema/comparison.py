"""What a comparison of two runs says: policy, paired results, states, verdict."""

from __future__ import annotations

from typing import Literal

from gelu_patch.reporting.schema.run import AAControl, Fidelity, Interval, Section

QualityState = Literal["SUPERIOR", "NON_INFERIOR", "INFERIOR", "EQUIVALENT", "INCONCLUSIVE"]
LatencyState = Literal["FASTER", "SAME", "NOT_SLOWER", "SLOWER", "INCONCLUSIVE", "INVALID"]
MemoryState = Literal["SMALLER", "SAME", "LARGER"]
VerdictName = Literal[
    "SHIP", "NO GAIN", "DO NOT SHIP", "INCONCLUSIVE", "PRELIMINARY", "PARTIAL", "NOT COMPARABLE", "INVALID"
]


class Policy(Section):
    """The margins of a comparison and where they come from.

    ``required`` names the metrics whose margin was given by the user: one that was not measured is no pass.
    """

    margins: dict[str, str] = {}
    required: list[str] = []
    alpha: float = 0.025
    source: Literal["file", "cli", "default"] = "default"
    fixed_before_run: bool | None = None
    sha256: str | None = None


class Result(Section):
    """One metric compared. ``diff`` = candidate - baseline, signed so that worse is negative; so is ``ci``,
    which is None when no interval can be trusted (``warnings`` says why), and ``margin`` is negative.

    ``b``: baseline right, candidate wrong; ``c``: baseline wrong, candidate right. Metrics that are not
    ``primary`` are guard rails. ``identical``: no example differs between the arms.
    """

    metric: str
    higher_is_better: bool = True
    primary: bool = True
    baseline: float | None = None
    candidate: float | None = None
    diff: float
    ci: Interval | None
    method: str
    margin: float
    identical: bool = False
    b: int | None = None
    c: int | None = None
    n: int | None = None
    p_difference: float | None = None
    state: QualityState
    n_needed_80: int | None = None
    warnings: list[str] = []


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
    fidelity: Fidelity | None = None
    flips: list[Flip] = []
    latency: list[LatencyResult] = []
    memory: list[MemoryResult] = []
    verdict: VerdictName
    headline: str = ""
    reasons: list[str] = []
    exit_code: int
