"""Energy counters: RAPL of the processor, NVML of a GPU; or the reason why there is none. Never a guess, never 0."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

POWERCAP = Path("/sys/class/powercap")


class EnergyReader(Protocol):
    """A counter that only rises."""

    @property
    def source(self) -> str:
        """What counts, and what it covers."""

    def joules(self) -> float:
        """Return the energy since the reader was made, in joule. Must be called at least once a minute."""


@dataclass(frozen=True)
class NoEnergy:
    """Why there is no counter, and what to type to have one."""

    reason: str
    next_step: str | None = None


def find_reader(device: str = "cpu", *, root: Path = POWERCAP) -> EnergyReader | NoEnergy:
    """Return the energy counter that covers ``device``: NVML for "cuda", RAPL under ``root`` for "cpu"."""
    if device.startswith("cuda"):
        return _nvml(device)
    if device.split(":")[0] != "cpu":
        return NoEnergy(f"no energy counter is known for {device}")
    return _rapl(root)


@dataclass
class _Domain:
    """One processor package. Its counter starts again at 0 after ``range_uj``."""

    path: Path
    range_uj: int
    last_uj: int
    total_uj: int = 0

    @classmethod
    def open(cls, path: Path) -> _Domain:
        return cls(path, _number(path / "max_energy_range_uj"), _number(path / "energy_uj"))

    def advance(self) -> int:
        now = _number(self.path / "energy_uj")
        # A counter below its last value has wrapped around. The range is the largest value, after which comes 0.
        self.total_uj += now - self.last_uj if now >= self.last_uj else now - self.last_uj + self.range_uj + 1
        self.last_uj = now
        return self.total_uj


@dataclass
class _Rapl:
    domains: list[_Domain]
    source: str = field(init=False)

    def __post_init__(self) -> None:
        self.source = f"RAPL, {len(self.domains)} processor package{'s' if len(self.domains) > 1 else ''}"

    def joules(self) -> float:
        return sum(domain.advance() for domain in self.domains) / 1e6


def _rapl(root: Path) -> EnergyReader | NoEnergy:
    # intel-rapl:0 is a package (AMD's too); intel-rapl:0:0 is a part of it. A domain named psys would count it twice.
    found = [path for path in sorted(root.glob("intel-rapl:*")) if path.name.count(":") == 1]
    packages = [path for path in found if _text(path / "name").startswith("package")]
    if not packages:
        return NoEnergy(f"no RAPL counter under {root}: not this kind of processor, or a virtual machine or container")
    try:
        return _Rapl([_Domain.open(path) for path in packages])
    except PermissionError as error:
        return NoEnergy(
            f"{error.filename} may be read by root only", f"sudo chmod a+r {root}/intel-rapl:*/energy_uj (until reboot)"
        )
    except (OSError, ValueError) as error:
        return NoEnergy(f"the RAPL counter cannot be read: {type(error).__name__}: {error}")


def _number(path: Path) -> int:
    return int(path.read_text(encoding="ascii"))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


@dataclass
class _Nvml:
    nvml: Any
    handle: Any
    started_mj: int
    source: str = "NVML, the whole GPU"

    def joules(self) -> float:
        return float(self.nvml.nvmlDeviceGetTotalEnergyConsumption(self.handle) - self.started_mj) / 1e3


def _nvml(device: str) -> EnergyReader | NoEnergy:
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return NoEnergy("the package nvidia-ml-py is not installed", 'pip install "gelu-patch[energy]"')
    import torch

    try:
        nvml.nvmlInit()
        # By UUID: CUDA_VISIBLE_DEVICES gives the devices of a process other numbers than NVML's.
        uuid = torch.cuda.get_device_properties(torch.device(device)).uuid
        handle = nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
        return _Nvml(nvml, handle, nvml.nvmlDeviceGetTotalEnergyConsumption(handle))
    except (nvml.NVMLError, RuntimeError, AssertionError, AttributeError) as error:
        return NoEnergy(f"NVML does not count energy here: {type(error).__name__}: {error}")
