"""Report schema, version 1: what a run writes to ``report.json``.

Unknown parts are ``None`` (or an empty list), never invented. Unknown fields of newer minor versions are kept.
The JSON Schema is ``Report.model_json_schema()``.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = "1.0"

Interval = tuple[float, float]
Kind = Literal["eval", "bench", "train", "compare", "ablate", "verify"]
QualityState = Literal["SUPERIOR", "NON_INFERIOR", "INFERIOR", "EQUIVALENT", "INCONCLUSIVE"]
LatencyState = Literal["FASTER", "SAME", "NOT_SLOWER", "SLOWER", "INCONCLUSIVE", "INVALID"]
MemoryState = Literal["SMALLER", "SAME", "LARGER"]
VerdictName = Literal[
    "SHIP", "NO GAIN", "DO NOT SHIP", "INCONCLUSIVE", "PRELIMINARY", "PARTIAL", "NOT COMPARABLE", "INVALID"
]


class Section(BaseModel):
    """Base of every section: fields that this version does not know survive a round trip."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())


class Tool(Section):
    """Which program wrote the report, and with which command."""

    name: str = "gelu-patch"
    version: str = ""
    git: str | None = None
    command: list[str] = []


class PatchedSite(Section):
    """One site of the plan; ``from`` and ``to`` are activation names."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    site: str
    from_: str = Field(alias="from")
    to: str
    kernel: str
    kernel_version: str | None = None
    fallback: str | None = None


class PatchSummary(Section):
    """What was patched; ``target`` is the name that was asked for (``stock`` when nothing was)."""

    target: str = "stock"
    n_patched: int = 0
    n_sites: int = 0
    plan: list[PatchedSite] = []


class Subject(Section):
    """The model that was run. ``weights_sha256`` covers every parameter and buffer, by name."""

    model: str
    revision: str | None = None
    weights_sha256: str | None = None
    architecture: str = ""
    dtype: str = ""
    params: int = 0
    patch: PatchSummary = PatchSummary()


class Data(Section):
    """The examples. The hashes are over the ordered ids, the ordered inputs and labels, and the tokenizer."""

    source: Literal["file", "hub", "synthetic", "package"] = "file"
    name: str = ""
    split: str | None = None
    revision: str | None = None
    n: int = 0
    labels: list[str] = []
    ids_sha256: str | None = None
    inputs_sha256: str | None = None
    tokenizer_sha256: str | None = None


class Protocol(Section):
    """How the model was run."""

    batch_size: int | None = None
    padding: str | None = None
    max_length: int | None = None
    seed: int | None = None
    seeds: list[int] = []
    deterministic: bool | None = None
    world_size: int = 1
    model_mode: str = "eval"


class Quality(Section):
    """One metric of one arm, with its interval (two-sided 95 %). ``value`` is a fraction, not percent."""

    metric: str
    higher_is_better: bool = True
    value: float
    ci: Interval | None = None
    ci_method: str | None = None
    n: int = 0


class Fidelity(Section):
    """How far the candidate's outputs lie from the baseline's, on the same examples."""

    top1_agreement: float | None = None
    kl_mean: float | None = None
    kl_p99: float | None = None
    max_abs_dlogit: float | None = None
    per_layer_rel_err: list[float] = []


class AAControl(Section):
    """The baseline against itself: the noise floor of the measurement."""

    ratio: float
    ci: Interval


class Latency(Section):
    """Latency of one arm at one shape ``(batch, seq)``, in seconds, with the ratio to the baseline arm.

    ``ratio`` and ``ratio_ci`` are the median of paired ratios arm / baseline; both are None for the baseline.
    """

    shape: tuple[int, int]
    phase: Literal["forward", "forward_backward", "generate"] = "forward"
    unit: str = "s"
    n_pairs: int = 0
    n_processes: int = 1
    warmup: int = 0
    p50: float
    p90: float
    p99: float
    ratio: float | None = None
    ratio_ci: Interval | None = None
    values: list[float] = []
    values_file: str | None = None
    aa_control: AAControl | None = None
    valid: bool | None = None


class Memory(Section):
    """Memory of one arm in bytes; ``saved_for_backward_bytes`` counts distinct storages without parameters.

    ``activation_saved_tensors`` is the largest number of distinct tensors that one activation site keeps for
    backward, its input counted once.
    """

    phase: str
    shape: tuple[int, int] | None = None
    device_peak_bytes: int | None = None
    device_reserved_bytes: int | None = None
    host_peak_rss_bytes: int | None = None
    saved_for_backward_bytes: int | None = None
    activation_saved_bytes: int | None = None
    activation_saved_tensors: int | None = None


class Energy(Section):
    """Energy, or the reason why there is none."""

    joule_per_1k_samples: float | None = None
    source: str | None = None
    why_null: str | None = "not measured"


class CurvePoint(Section):
    """One optimizer step."""

    step: int
    loss: float | None
    grad_norm: float | None = None
    learning_rate: float | None = None


class SeedRun(Section):
    """One training run. ``best`` and ``last`` are the validation metric; None without validation data."""

    seed: int
    steps: int = 0
    epochs: float = 0.0
    seconds: float | None = None
    best: float | None = None
    last: float | None = None
    final_loss: float | None = None
    diverged: bool = False
    nan_steps: int = 0
    steps_to_target: int | None = None
    loss_auc: float | None = None
    grad_norm_p99: float | None = None
    curve: list[CurvePoint] = []


class Training(Section):
    """The recipe as resolved, and one entry per seed. ``curve`` is thinned; the full log is in ``files``."""

    metric: str | None = None
    recipe: dict[str, Any] = {}
    per_seed: list[SeedRun] = []


class Environment(Section):
    """See ``gelu_patch.environment.fingerprint``."""

    python: str = ""
    packages: dict[str, str] = {}
    os: str = ""
    cpu: str = ""
    threads: int | None = None
    gpu: list[str] = []
    driver: str | None = None
    governor: str | None = None
    loadavg: list[float] = []
    throttled: bool | None = None
    env_vars: dict[str, str] = {}
    offline: bool | None = None


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
    latency: list[LatencyResult] = []
    memory: list[MemoryResult] = []
    verdict: VerdictName
    headline: str = ""
    reasons: list[str] = []
    exit_code: int


class Arm(Section):
    """One arm of a comparison report: what its own run folder says, copied so that the report stands alone."""

    name: str
    run: str
    tool: Tool = Tool()
    subject: Subject
    quality: list[Quality] = []
    training: Training | None = None
    latency: list[Latency] = []
    memory: list[Memory] = []


class Check(Section):
    """One yes-or-no fact that was measured, with the bar that it was held against."""

    name: str
    passed: bool
    measured: str
    bar: str


class Report(Section):
    """One ``report.json``. A comparison of several arms fills ``arms`` and ``comparisons``;
    ``comparison`` is then the first of them, and ``verdict`` and ``exit_code`` repeat its outcome."""

    schema_version: str = SCHEMA_VERSION
    kind: Kind
    run_id: str
    created: str
    duration_s: float | None = None
    title: str = ""
    tool: Tool = Tool()
    subject: Subject | None = None
    data: Data | None = None
    protocol: Protocol | None = None
    quality: list[Quality] = []
    fidelity: Fidelity | None = None
    latency: list[Latency] = []
    memory: list[Memory] = []
    energy: Energy = Energy()
    training: Training | None = None
    environment: Environment = Environment()
    comparison: Comparison | None = None
    arms: list[Arm] = []
    comparisons: list[Comparison] = []
    checks: list[Check] = []
    verdict: VerdictName | None = None
    exit_code: int | None = None
    notes: list[str] = []
    files: dict[str, str] = {}
    warnings: list[str] = []
