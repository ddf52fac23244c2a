"""What was run: the tool, the model with its patch, the data, the protocol, the machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import ConfigDict, Field

from gelu_patch.environment import DISTRIBUTION, git_commit, package_version
from gelu_patch.reporting.schema.section import Section


class Tool(Section):
    """Which program wrote the report, and with which command."""

    name: str = "gelu-patch"
    version: str = ""
    git: str | None = None
    command: list[str] = []

    @classmethod
    def here(cls, command: Sequence[str] = ()) -> Tool:
        """Return this program as it is installed here, with the commit that it runs from, if it is a checkout."""
        return cls(version=package_version(DISTRIBUTION) or "", git=git_commit(), command=list(command))


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
