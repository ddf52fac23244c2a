"""The metrics that a comparison can gate: one row per metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gelu_patch.registry import Registry

Unit = Literal["pp", "nat", "ratio"]


@dataclass(frozen=True)
class Metric:
    """A gated metric. ``unit``: ``pp`` for a fraction shown in per cent, ``nat``, or ``ratio`` of two arms.

    ``default_margin`` is what applies when the user names none. A quality metric that is not ``primary`` is a
    guard rail: it can withhold SHIP, but only a primary metric can say DO NOT SHIP.
    """

    name: str
    label: str
    unit: Unit
    higher_is_better: bool
    default_margin: str
    primary: bool = False


# "metric" is the registry of tasks.metrics; one name is one group of plug-ins.
METRICS: Registry[Metric] = Registry("gated metric")
METRICS.register(Metric("accuracy", "accuracy", "pp", True, "1.0pp", primary=True))
METRICS.register(Metric("nll", "NLL / example", "nat", False, "0.005"))
METRICS.register(Metric("latency", "latency", "ratio", False, "+2%"))
METRICS.register(Metric("memory", "memory", "ratio", False, "+1%"))
