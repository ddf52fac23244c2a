"""Numbers as people read them: units, signs and as many digits as the interval supports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from gelu_patch.reporting.policy.metrics import METRICS, Unit
from gelu_patch.reporting.schema import Divergence, Interval, LatencyResult, MemoryResult, Policy, Result

MISSING = "—"
IDENTICAL = "IDENTICAL ON THIS DATA"

# How many decimals more (or fewer) than usual are printed: `compare --precision` sets it around its output.
_EXTRA_DECIMALS: ContextVar[int] = ContextVar("extra decimals", default=0)


@dataclass(frozen=True)
class Shown:
    """One compared metric as text. Differences keep their natural sign: a higher loss is a ``+``."""

    label: str
    baseline: str
    candidate: str
    difference: str
    interval: str
    margin: str
    state: str


def doubts(results: Iterable[Result]) -> list[str]:
    """Return the warnings about these metrics, each with the names of the metrics that it is about."""
    named: dict[str, list[str]] = {}
    for result in results:
        for warning in result.warnings:
            named.setdefault(warning, []).append(shown(result).label)
    return [f"{', '.join(names)}: {warning}" for warning, names in named.items()]


@contextmanager
def precision(extra_decimals: int) -> Iterator[None]:
    """Print metrics and ratios with that many decimals more than usual (fewer, when negative) inside the block."""
    token = _EXTRA_DECIMALS.set(extra_decimals)
    try:
        yield
    finally:
        _EXTRA_DECIMALS.reset(token)


def _decimals(usual: int) -> int:
    return max(0, usual + _EXTRA_DECIMALS.get())


def plural(count: int, noun: str) -> str:
    """Return ``1 seed`` or ``1,200 seeds``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def signed(value: float, decimals: int) -> str:
    """Return ``+0.11`` or ``-0.11``; zero has a plus, also when rounding made it zero."""
    return f"{round(value, decimals) + 0.0:+.{decimals}f}"


def seconds(value: float) -> str:
    """Return a time with three significant digits in s, ms or µs."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if value >= scale:
            return f"{_three_digits(value / scale)} {unit}"
    return f"{_three_digits(value / 1e-6)} µs"


def binary_size(count: int) -> str:
    """Return bytes with three significant digits in GiB, MiB, KiB or B."""
    for unit, power in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if abs(count) >= 1 << power:
            return f"{_three_digits(count / (1 << power))} {unit}"
    return f"{count} B"


def _three_digits(value: float) -> str:
    return f"{value:.{0 if value >= 99.95 else 1 if value >= 9.995 else 2}f}"


def ratio_range(interval: Interval) -> str:
    """Return ``[0.949, 0.957]``."""
    places = _decimals(3)
    return f"[{interval[0]:.{places}f}, {interval[1]:.{places}f}]"


def percent_change(baseline: float, candidate: float) -> str:
    """Return the relative change as ``-8.7 %``, or a dash when the baseline is zero."""
    return f"{signed(100 * (candidate / baseline - 1), 1)} %" if baseline else MISSING


def shape_text(shape: tuple[int, int] | None) -> str:
    """Return ``8 × 128`` for ``(batch, seq)``."""
    return f"{shape[0]} × {shape[1]}" if shape else MISSING


def place_text(phase: str, shape: tuple[int, int] | None) -> str:
    """Return ``8 × 128`` for the plain forward pass, and ``8 × 128 fwd+bwd`` for training steps."""
    extra = {"forward": "", "forward_backward": " fwd+bwd"}.get(phase, f" {phase}")
    return f"{shape_text(shape)}{extra}"


def words(state: str) -> str:
    """Return a state as printed: ``NON-INFERIOR`` for ``NON_INFERIOR``."""
    return state.replace("_", "-").replace("NOT-SLOWER", "NOT SLOWER")


def unit_of(metric: str) -> Unit:
    """Return the unit of a quality metric; metrics that this version does not know are plain numbers."""
    return METRICS.get(metric).unit if metric in METRICS else "nat"


def label_of(metric: str) -> str:
    """Return the printed name of a metric."""
    return METRICS.get(metric).label if metric in METRICS else metric


def value_text(metric: str, value: float | None) -> str:
    """Return one arm's value: ``92.43 %`` or ``0.2213``."""
    if value is None:
        return MISSING
    return f"{100 * value:.{_decimals(2)}f} %" if unit_of(metric) == "pp" else f"{value:.{_decimals(4)}f}"


def shown(result: Result) -> Shown:
    """Return a result as text, with the sign that a reader expects."""
    sign = 1 if result.higher_is_better else -1
    ends = sorted(sign * end for end in result.ci) if result.ci else []
    is_points = unit_of(result.metric) == "pp"
    scale, unit = (100, " pp") if is_points else (1, "")
    numbers = [scale * number for number in (sign * result.diff, *ends)]
    difference, *limits = _points(numbers) if is_points else _plain(numbers)
    margin = scale * sign * result.margin
    return Shown(
        label=result.label or label_of(result.metric),
        baseline=value_text(result.metric, result.baseline),
        candidate=value_text(result.metric, result.candidate),
        difference=difference + unit,
        interval=f"[{limits[0]}, {limits[1]}]" if limits else MISSING,
        margin=_margin_text(margin, 1 if is_points else 3) + unit,
        state=words(result.state) + _remark(result),
    )


def _points(numbers: list[float]) -> list[str]:
    wide = len(numbers) == 3 and numbers[2] - numbers[1] >= 4
    return [signed(number, _decimals(1 if wide else 2)) for number in numbers]


def _plain(numbers: list[float]) -> list[str]:
    largest = max(abs(number) for number in numbers)
    if 0 < largest < 5e-4:  # four decimals would show nothing but zeros
        return [f"{number:+.{_decimals(1)}e}" if number else "+0" for number in numbers]
    return [signed(number, _decimals(4)) for number in numbers]


def _margin_text(margin: float, decimals: int) -> str:
    while decimals < 6 and abs(round(margin, decimals) - margin) > 1e-9:
        decimals += 1
    return signed(margin, decimals)


def _remark(result: Result) -> str:
    if result.identical:
        return " (identical)"
    if result.state == "NON_INFERIOR" and result.ci and result.ci[1] < 0:
        points = unit_of(result.metric) == "pp"
        amount = (_points if points else _plain)([(100 if points else 1) * abs(result.diff)])[0].lstrip("+")
        return f" (measurably worse by {amount}{' pp' if points else ''})"
    return ""


def role_text(result: Result) -> str:
    """Return what a metric that is not primary does, as it stands behind its name; nothing for a primary one."""
    return "" if result.primary else " (guard rail)" if result.gated else " (shown)"


def interval_name(policy: Policy) -> str:
    """Return ``95 % CI`` for a one-sided alpha of 0.025."""
    return f"{100 * (1 - 2 * policy.alpha):.3g} % CI"


def perplexity_sentence(result: Result) -> str:
    """Return ``perplexity ratio 1.0012 [0.9998, 1.0026]``, or nothing for what is no language model's loss."""
    if result.ratio is None:
        return ""
    places = _decimals(4)
    interval = f" [{result.ratio_ci[0]:.{places}f}, {result.ratio_ci[1]:.{places}f}]" if result.ratio_ci else ""
    return f"perplexity ratio {result.ratio:.{places}f}{interval}"


def beyond_margin(result: Result) -> str:
    """Return ``accuracy -12.4 pp [-15.0, -9.8], margin -1.0 pp``."""
    text = shown(result)
    return f"{text.label} {text.difference} {text.interval}, margin {text.margin}"


def failed_control(result: LatencyResult) -> str:
    """Return where the baseline did not look like itself, and what to do."""
    control = result.aa_control
    seen = f" ({control.ratio:.3f} {ratio_range(control.ci)}, must hold 1 within the margin)" if control else ""
    where = place_text(result.phase, result.shape)
    return f"the baseline against itself failed at {where}{seen}: measure again on a quieter machine"


def divergence_sentence(found: Divergence | None) -> str:
    """Return ``diverged runs: baseline 0 of 5, candidate 2 of 5 (Fisher exact p = 0.44)``."""
    if found is None:
        return ""
    arms = f"baseline {found.baseline} of {found.of_baseline}, candidate {found.candidate} of {found.of_candidate}"
    return f"diverged runs: {arms} (Fisher exact p = {found.p:.2g})"


def quality_sentence(result: Result) -> str:
    """Return ``accuracy -0.11 pp [-0.73, +0.44], margin -1.0 pp: NON-INFERIOR``."""
    text = shown(result)
    return f"{text.label}{role_text(result)} {text.difference} {text.interval}, margin {text.margin}: {text.state}"


def latency_sentence(result: LatencyResult) -> str:
    """Return ``latency 8 × 128: ratio 0.961 [0.958, 0.965], margin 1.02: FASTER``."""
    where = place_text(result.phase, result.shape)
    return (
        f"latency {where}: ratio {result.ratio:.{_decimals(3)}f} {ratio_range(result.ci)}, "
        f"margin {1 + result.margin:.4g}: "
        f"{words(result.state)}"
    )


def memory_sentence(result: MemoryResult) -> str:
    """Return ``saved for backward (training) 64.0 MiB -> 48.0 MiB (-25.0 %): SMALLER``."""
    change = percent_change(result.baseline, result.candidate)
    sizes = f"{binary_size(result.baseline)} -> {binary_size(result.candidate)}"
    return f"{result.quantity} ({result.phase}) {sizes} ({change}): {result.state}"
