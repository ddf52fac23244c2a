"""The metrics that a comparison can gate: one row per metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gelu_patch.registry import Registry
from gelu_patch.stats.counts import CountMetric, f1_of, matthews_of

Unit = Literal["pp", "nat", "ratio"]
Role = Literal["primary", "guard", "shown"]


@dataclass(frozen=True)
class Metric:
    """A metric with a margin. ``unit``: ``pp`` for a fraction shown in per cent, ``nat``, or ``ratio`` of two arms.

    ``default_margin`` is what applies when the user names none. Only a ``primary`` metric can say DO NOT SHIP; a
    ``guard`` can withhold SHIP; what is ``shown`` decides nothing until a policy names it. ``of_counts`` computes the
    metrics that follow from the counts per class.
    """

    name: str
    label: str
    unit: Unit
    higher_is_better: bool
    default_margin: str
    role: Role
    of_counts: CountMetric | None = None


# "metric" is the registry of tasks.metrics; one name is one group of plug-ins.
METRICS: Registry[Metric] = Registry("gated metric")
METRICS.register(Metric("accuracy", "accuracy", "pp", True, "1.0pp", "primary"))
# A swap flips few predictions, and few flips say nothing about F1 and Matthews: they gate when they are named.
METRICS.register(Metric("f1", "F1", "pp", True, "1.0pp", "shown", f1_of))
METRICS.register(
    Metric("matthews_correlation", "Matthews", "pp", True, "1.0pp", "shown", matthews_of), aliases=("matthews", "mcc")
)
METRICS.register(Metric("nll", "NLL / example", "nat", False, "0.005", "guard"))
METRICS.register(Metric("latency", "latency", "ratio", False, "+2%", "guard"))
METRICS.register(Metric("memory", "memory", "ratio", False, "+1%", "guard"))
