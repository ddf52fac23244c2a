"""``report.json`` as a whole."""

from __future__ import annotations

from typing import Literal

from gelu_patch.reporting.schema.ablation import Ablation
from gelu_patch.reporting.schema.comparison import Comparison, VerdictName
from gelu_patch.reporting.schema.cost import ActivationShare, Energy, Latency, Memory
from gelu_patch.reporting.schema.quality import Fidelity, Quality
from gelu_patch.reporting.schema.section import Section
from gelu_patch.reporting.schema.subject import Data, Environment, Protocol, Subject, Tool
from gelu_patch.reporting.schema.training import Training

SCHEMA_VERSION = "1.0"

Kind = Literal["eval", "bench", "train", "compare", "ablate", "verify"]


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
    energy: Energy | None = None


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
    activation_share: list[ActivationShare] = []
    training: Training | None = None
    environment: Environment = Environment()
    comparison: Comparison | None = None
    arms: list[Arm] = []
    comparisons: list[Comparison] = []
    ablation: Ablation | None = None
    checks: list[Check] = []
    verdict: VerdictName | None = None
    exit_code: int | None = None
    notes: list[str] = []
    files: dict[str, str] = {}
    warnings: list[str] = []
