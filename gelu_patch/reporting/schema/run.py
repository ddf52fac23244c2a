"""What one run says about itself: subject, data, protocol, results, training, environment."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Interval = tuple[float, float]


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
    """The examples. The hashes are over the ordered ids, the ordered inputs and labels, and the tokenizer.

    ``limited`` says that these are the first examples only of a larger file (``--limit``). ``duplicate_inputs`` counts
    the examples whose input occurred before, ``seen_in_training`` those whose input the model was trained on; None is
    not counted.
    """

    source: Literal["file", "hub", "synthetic", "package"] = "file"
    name: str = ""
    split: str | None = None
    revision: str | None = None
    n: int = 0
    limited: bool = False
    duplicate_inputs: int | None = None
    seen_in_training: int | None = None
    labels: list[str] = []
    ids_sha256: str | None = None
    inputs_sha256: str | None = None
    tokenizer_sha256: str | None = None


class Protocol(Section):
    """How the model was run. ``seed`` is that of its training; ``data_seed`` decides which tokens are hidden."""

    task: str | None = None
    batch_size: int | None = None
    padding: str | None = None
    max_length: int | None = None
    stride: int | None = None
    seed: int | None = None
    data_seed: int | None = None
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


class AAControl(Section):
    """The baseline against itself: the noise floor of the measurement.

    ``quantiles`` and ``ratio_over_time`` are those of ``Latency``.
    """

    ratio: float
    ci: Interval
    quantiles: list[float] = []
    ratio_over_time: list[float] = []


class Latency(Section):
    """Latency of one arm at one shape ``(batch, seq)``, in seconds, with the ratio to the baseline arm.

    ``ratio`` and ``ratio_ci`` are the median of paired ratios arm / baseline; both are None for the baseline.
    ``quantiles`` are at most 200, of the single times, at evenly spaced shares from 0 to 1. ``ratio_over_time`` has at
    most 200 medians of consecutive pairs, in the order in which they were measured.

    ``n_pairs`` are those of all processes. ``p95_ratio`` and ``p99_ratio`` divide the quantiles of the arm by those of
    the baseline; nothing is gated on them. ``state`` is a ``LatencyState`` at ``margin``. ``tokens_per_s`` counts those
    of the input, and of ``generate`` the new ones, of which each example gets ``new_tokens``. ``values_file`` names the
    table of all single times beside the report; ``values`` has them where there is no file.
    """

    shape: tuple[int, int]
    phase: Literal["forward", "forward_backward", "generate"] = "forward"
    unit: str = "s"
    n_pairs: int = 0
    n_processes: int = 1
    warmup: int = 0
    p50: float
    p90: float
    p95: float | None = None
    p99: float
    ratio: float | None = None
    ratio_ci: Interval | None = None
    p95_ratio: float | None = None
    p99_ratio: float | None = None
    margin: float | None = None
    state: str | None = None
    examples_per_s: float | None = None
    tokens_per_s: float | None = None
    new_tokens: int | None = None
    values: list[float] = []
    values_file: str | None = None
    quantiles: list[float] = []
    ratio_over_time: list[float] = []
    aa_control: AAControl | None = None
    valid: bool | None = None


class Memory(Section):
    """Memory of one arm in bytes; ``saved_for_backward_bytes`` counts distinct storages without parameters.

    A peak is that of a process that ran nothing but this arm: on the device what PyTorch allocated (and reserved), on
    the host the resident set, of which the process had ``host_start_rss_bytes`` before it loaded the model.
    ``other_bytes`` is what the peak has beside weights and what is saved for backward (on the host, beside the start
    too): temporary tensors, gradients, buffers of libraries. ``activation_saved_tensors`` is the largest number of
    distinct tensors that one activation site keeps for backward, its input counted once.
    """

    phase: str
    shape: tuple[int, int] | None = None
    weights_bytes: int | None = None
    device_peak_bytes: int | None = None
    device_reserved_bytes: int | None = None
    host_peak_rss_bytes: int | None = None
    host_start_rss_bytes: int | None = None
    other_bytes: int | None = None
    saved_for_backward_bytes: int | None = None
    activation_saved_bytes: int | None = None
    activation_saved_tensors: int | None = None


class Energy(Section):
    """Energy of what ``source`` sees (whole processor packages, or a GPU, idle power included), or why there is none.

    ``joule`` were used in ``seconds``, while ``n_samples`` examples were run.
    """

    joule_per_1k_samples: float | None = None
    source: str | None = None
    why_null: str | None = "not measured"
    shape: tuple[int, int] | None = None
    phase: str | None = None
    joule: float | None = None
    seconds: float | None = None
    n_samples: int | None = None


class ActivationShare(Section):
    """What the activations take of the baseline at all, and so the most that any swap of them can gain.

    The limit is measured: the same model with nothing in the place of its ``n_sites`` GELUs, in the same pairs.
    ``time_share`` = 1 - time of that limit / time of the baseline; ``best_ratio`` is that quotient, with its interval.
    ``saved_share`` is the part of the bytes saved for backward that the sites keep (their input included), and
    ``saved_limit_share`` the part that goes when they are removed. ``valid`` is that of the A/A control.
    """

    shape: tuple[int, int]
    phase: str = "forward"
    n_sites: int = 0
    time_share: float | None = None
    time_share_ci: Interval | None = None
    best_ratio: float | None = None
    best_ratio_ci: Interval | None = None
    saved_share: float | None = None
    saved_limit_share: float | None = None
    valid: bool | None = None


class CurvePoint(Section):
    """One optimizer step."""

    step: int
    loss: float | None
    grad_norm: float | None = None
    learning_rate: float | None = None


class GroupNorms(Section):
    """The gradient norm of one group of layers over the finite steps of a run."""

    group: str
    median: float
    p99: float
    largest: float


class SiteActivations(Section):
    """What one activation site gave at the first and at the last step where it was looked at.

    ``near_zero`` is the share of outputs between -0.001 and 0.001, ``dead`` the share of units that gave nothing else
    for a whole batch; ``most_dead`` is the largest such share over all these steps.
    """

    site: str
    steps: int
    first_mean: float | None
    last_mean: float | None
    first_near_zero: float | None
    last_near_zero: float | None
    first_dead: float | None
    last_dead: float | None
    most_dead: float | None


class SeedRun(Section):
    """One training run. ``best`` and ``last`` are the validation metric; None without validation data.

    ``steps_to_target`` is the first step at which the mean of the last ten finite losses was at most ``target_loss``.
    ``last_checkpoint`` is the step of the last one that was written.
    """

    seed: int
    steps: int = 0
    epochs: float = 0.0
    seconds: float | None = None
    best: float | None = None
    last: float | None = None
    final_loss: float | None = None
    diverged: bool = False
    nan_steps: int = 0
    target_loss: float | None = None
    steps_to_target: int | None = None
    loss_auc: float | None = None
    grad_norm_p99: float | None = None
    last_checkpoint: int | None = None
    grad_norms: list[GroupNorms] = []
    activations: list[SiteActivations] = []
    curve: list[CurvePoint] = []


class Training(Section):
    """The recipe as resolved, and one entry per seed. ``curve`` is thinned; the full log is in ``files``."""

    metric: str | None = None
    processes: int = 1
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
