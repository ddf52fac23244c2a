"""Margins: how much worse the candidate may be, with direction and unit, decided before looking."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gelu_patch.errors import UsageError
from gelu_patch.reporting.metrics import METRICS, Metric
from gelu_patch.reporting.schema import Policy

_MARGIN = re.compile(r"(?P<sign>[+-]?)(?P<number>\d+(\.\d*)?|\.\d+)\s*(?P<unit>pp|%|)")
_EXAMPLES = {"pp": "1.0pp", "nat": "0.005", "ratio": "+2%"}


@dataclass(frozen=True)
class Margin:
    """A positive margin: a fraction of the baseline value when ``relative``, else in the metric's own unit."""

    value: float
    relative: bool

    def against(self, baseline: float) -> float:
        """Return the margin as a positive amount in the metric's unit. Raises UsageError when it vanishes."""
        if self.relative and baseline == 0:
            raise UsageError(
                "a margin in % of the baseline is nothing when the baseline is 0",
                next_step="give the margin in absolute terms, such as --margin accuracy=1.0pp",
            )
        return self.value * abs(baseline) if self.relative else self.value


def parse_margin(metric_name: str, text: str) -> Margin:
    """Read ``1.0pp`` (percentage points), ``0.5%`` (of the baseline) or ``0.005`` (in the metric's unit).

    A sign is optional and must point to "worse": ``-1.0pp`` for accuracy, ``+2%`` for latency. Raises UnknownName
    for a metric that is not registered and UsageError for a margin that cannot be meant.
    """
    metric = METRICS.get(metric_name)
    found = _MARGIN.fullmatch(text.strip())
    if found is None:
        raise _refusal(metric, text, "a margin is a number with an optional sign and one of the units pp or %")
    sign, number, unit = found["sign"], float(found["number"]), found["unit"]
    worse = "-" if metric.higher_is_better else "+"
    if sign and sign != worse:
        better = "higher" if metric.higher_is_better else "lower"
        raise _refusal(metric, text, f"{better} {metric.name} is better, so its margin has the sign {worse} or none")
    if unit == "pp" and metric.unit != "pp":
        raise _refusal(metric, text, f"percentage points do not apply to {metric.name}")
    if unit != "%" and metric.unit == "ratio":
        raise _refusal(metric, text, f"{metric.name} is compared as a ratio, so its margin is in %")
    value = number if unit == "" else number / 100
    if not 0 < value < 1:
        raise _refusal(metric, text, "a margin lies strictly between 0 and 1 (100 pp, 100 %)")
    return Margin(value, relative=unit == "%")


def _refusal(metric: Metric, text: str, why: str) -> UsageError:
    example = _EXAMPLES[metric.unit]
    return UsageError(
        f"cannot use {text!r} as the margin of {metric.name}",
        why=why,
        next_step=f"--margin {metric.name}={example}",
    )


def make_policy(margins: Mapping[str, str] | None = None, *, source: Literal["file", "cli"] = "cli") -> Policy:
    """Return the policy with these margins, and the default margin for every metric that is not named.

    Raises UnknownName or UsageError on margins that cannot be meant. The hash covers all margins and alpha.
    """
    chosen = dict(margins or {})
    for name, text in chosen.items():
        parse_margin(name, text)
    complete = {metric.name: chosen.get(metric.name, metric.default_margin).strip() for metric in METRICS}
    policy = Policy(margins=complete, required=sorted(chosen), source=source if chosen else "default")
    canonical = json.dumps({"margins": complete, "alpha": policy.alpha}, sort_keys=True)
    policy.sha256 = hashlib.sha256(canonical.encode()).hexdigest()
    return policy


def margin_of(policy: Policy, metric_name: str) -> Margin:
    """Return the parsed margin of one metric under this policy."""
    return parse_margin(metric_name, policy.margins[metric_name])


def read_margins(options: list[str]) -> dict[str, str]:
    """Read ``["accuracy=1.0pp", "latency=+2%"]``, as given on a command line. Raises UsageError when malformed."""
    margins: dict[str, str] = {}
    for option in options:
        name, equals, text = option.partition("=")
        if not equals or not name.strip() or name.strip() in margins:
            raise UsageError(
                f"cannot read the margin {option!r}",
                why="a margin is METRIC=AMOUNT, and every metric has one",
                next_step="--margin accuracy=1.0pp --margin latency=+2%",
            )
        margins[name.strip()] = text.strip()
    for name, text in margins.items():
        parse_margin(name, text)
    return margins
