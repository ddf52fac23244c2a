"""Report schema, version 1: what a run writes to ``report.json``.

Unknown parts are ``None`` (or an empty list), never invented. Unknown fields of newer minor versions are kept.
The JSON Schema is ``Report.model_json_schema()``.
"""

from gelu_patch.reporting.schema.ablation import Ablation, AblationArm, Outcome
from gelu_patch.reporting.schema.comparison import (
    Comparison,
    Divergence,
    Flip,
    LatencyResult,
    MemoryResult,
    Policy,
    QualityState,
    Result,
    VerdictName,
)
from gelu_patch.reporting.schema.cost import (
    AAControl,
    ActivationShare,
    Energy,
    Latency,
    LatencyState,
    Memory,
    MemoryState,
)
from gelu_patch.reporting.schema.quality import Fidelity, Histogram, Quality
from gelu_patch.reporting.schema.report import (
    SCHEMA_VERSION,
    Arm,
    Check,
    Kind,
    Report,
)
from gelu_patch.reporting.schema.section import Interval, Section
from gelu_patch.reporting.schema.subject import Data, Environment, PatchedSite, PatchSummary, Protocol, Subject, Tool
from gelu_patch.reporting.schema.training import CurvePoint, GroupNorms, SeedRun, SiteActivations, Training

__all__ = [
    "SCHEMA_VERSION",
    "AAControl",
    "Ablation",
    "AblationArm",
    "ActivationShare",
    "Arm",
    "Check",
    "Comparison",
    "CurvePoint",
    "Data",
    "Divergence",
    "Energy",
    "Environment",
    "Fidelity",
    "Flip",
    "GroupNorms",
    "Histogram",
    "Interval",
    "Kind",
    "Latency",
    "LatencyResult",
    "LatencyState",
    "Memory",
    "MemoryResult",
    "MemoryState",
    "Outcome",
    "PatchSummary",
    "PatchedSite",
    "Policy",
    "Protocol",
    "Quality",
    "QualityState",
    "Report",
    "Result",
    "Section",
    "SeedRun",
    "SiteActivations",
    "Subject",
    "Tool",
    "Training",
    "VerdictName",
]
