"""What a run costs: time, memory, energy, and which part of it are activations."""

from __future__ import annotations

from typing import Literal

from gelu_patch.reporting.schema.section import Interval, Section

LatencyState = Literal["FASTER", "SAME", "NOT_SLOWER", "SLOWER", "INCONCLUSIVE", "INVALID"]
MemoryState = Literal["SMALLER", "SAME", "LARGER"]


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
    the baseline; nothing is gated on them. ``state`` is judged at ``margin``. ``tokens_per_s`` counts those
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
    state: LatencyState | None = None
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
