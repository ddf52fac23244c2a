"""Report schema, version 1: what a run writes to ``report.json``.

Unknown parts are ``None`` (or an empty list), never invented. Unknown fields of newer minor versions are kept.
The JSON Schema is ``Report.model_json_schema()``.
"""

from gelu_patch.reporting.schema.comparison import (
    Comparison,
    LatencyResult,
    LatencyState,
    MemoryResult,
    MemoryState,
    Policy,
    QualityState,
    Result,
    VerdictName,
)
from gelu_patch.reporting.schema.report import (
    SCHEMA_VERSION,
    Arm,
    Check,
    Kind,
    Report,
)
from gelu_patch.reporting.schema.run import (
    AAControl,
    CurvePoint,
    Data,
    Energy,
    Environment,
    Fidelity,
    Interval,
    Latency,
    Memory,
    PatchedSite,
    PatchSummary,
    Protocol,
    Quality,
    Section,
    SeedRun,
    Subject,
    Tool,
    Training,
)

__all__ = [
    "SCHEMA_VERSION",
    "AAControl",
    "Arm",
    "Check",
    "Comparison",
    "CurvePoint",
    "Data",
    "Energy",
    "Environment",
    "Fidelity",
    "Interval",
    "Kind",
    "Latency",
    "LatencyResult",
    "LatencyState",
    "Memory",
    "MemoryResult",
    "MemoryState",
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
    "Subject",
    "Tool",
    "Training",
    "VerdictName",
]
