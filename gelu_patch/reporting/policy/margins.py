"""Margins: how much worse the candidate may be, with direction and unit, decided before looking."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gelu_patch.errors import UsageError
from gelu_patch.reporting.policy.metrics import METRICS, Metric, Role
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
    """Read ``1.0pp`` (percentage points), ``0.5%`` (of the baseline) or, for losses, ``0.005`` (in nat).

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
    if not unit and metric.unit == "pp":
        raise _refusal(metric, text, f"a margin of {metric.name} needs a unit, as {number:g}pp or {number:g}%")
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


def make_policy(
    margins: Mapping[str, str] | None = None,
    *,
    source: Literal["file", "cli"] = "cli",
    primary: Sequence[str] = (),
    required: Sequence[str] = (),
    ignore: Sequence[str] = (),
    **settings: Any,
) -> Policy:
    """Return the policy with these margins, and the default margin for every metric that is not named.

    Metrics that are named are required, unless they are to be ignored. ``settings`` are further fields of ``Policy``.
    Raises UnknownName or UsageError on what cannot be meant. The hash covers everything that decides, but not what is
    required because its margin was named: naming a default does not change it.
    """
    chosen = {METRICS.get(name).name: text.strip() for name, text in (margins or {}).items()}
    for name, text in chosen.items():
        parse_margin(name, text)
    lists = {"primary": primary, "required": required, "ignore": ignore}
    named = {key: sorted({METRICS.get(name).name for name in names}) for key, names in lists.items()}
    for name in named["primary"]:
        if METRICS.get(name).unit == "ratio":
            raise UsageError(
                f"{name} cannot be a primary metric",
                why="primary metrics are those of quality; a slower or larger candidate is DO NOT SHIP anyway",
                next_step="primary: [accuracy]",
            )
        if name in named["ignore"]:
            raise UsageError(f"{name} is primary and ignored", next_step="name it in one of the two lists")
    complete = {metric.name: chosen.get(metric.name, metric.default_margin) for metric in METRICS}
    given = bool(chosen or settings or any(named.values()))
    policy = Policy(
        margins=complete,
        primary=named["primary"],
        ignore=named["ignore"],
        required=sorted({*chosen, *named["required"], *named["primary"]} - set(named["ignore"])),
        source=source if given else "default",
        **settings,
    )
    parsed = {name: str(parse_margin(name, text)) for name, text in complete.items()}
    decisive = policy.model_dump(include={"primary", "ignore", "alpha", "minimum_seeds", "require_gain"})
    canonical = json.dumps({"margins": parsed, "required": named["required"], **decisive}, sort_keys=True)
    policy.sha256 = hashlib.sha256(canonical.encode()).hexdigest()
    return policy


def role_of(policy: Policy, metric_name: str, *, usual: Role | None = None) -> Role:
    """Return what a metric decides under this policy. ``usual`` replaces the role that it has by itself."""
    usual = usual or METRICS.get(metric_name).role
    if metric_name in policy.ignore:
        return "shown"
    if metric_name in policy.primary:
        return "primary"
    if policy.primary and usual == "primary":
        return "guard"
    return "guard" if usual == "shown" and metric_name in policy.required else usual


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
