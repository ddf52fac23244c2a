"""What a result depends on beside the code: versions, machine, threads, commit.

The fingerprint is stored in every report. It never holds a secret: environment variables are an allow-list.
Importing this module imports no torch; ``fingerprint`` reads torch only when it is imported already.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

DISTRIBUTION = "gelu-patch"

# The packages whose version can change a result.
PACKAGES = (
    "torch", "transformers", "accelerate", "peft", "datasets", "evaluate", "tokenizers", "safetensors",
    "numpy", "scipy", "pyarrow",
)  # fmt: skip

CPU_LEVEL_VARIABLE = "GELU_PATCH_CPU"  # read by kernels/cpu/library.py

# Kernels and ways of fusing that are not to be used, by name, with commas: "cublaslt,triton".
DISABLE_VARIABLE = "GELU_PATCH_DISABLE"

ENVIRONMENT_VARIABLES = (
    CPU_LEVEL_VARIABLE, DISABLE_VARIABLE,
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "KMP_AFFINITY", "CUDA_VISIBLE_DEVICES", "ACCELERATE_USE_CPU",
    "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE", "TOKENIZERS_PARALLELISM",
    "THP_MEM_ALLOC_ENABLE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "PYTHONHASHSEED",
)  # fmt: skip

OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")


def package_version(name: str) -> str | None:
    """Return the installed version of a distribution, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


__version__ = package_version(DISTRIBUTION) or "unknown"  # the number itself stands in pyproject.toml


def best_device() -> str:
    """Return "cuda" when there is a GPU, else "cpu"; always "cpu" with ACCELERATE_USE_CPU, as in Accelerate."""
    import torch

    wants_cpu = _is_set("ACCELERATE_USE_CPU")
    return "cuda" if torch.cuda.is_available() and not wants_cpu else "cpu"


def _is_set(name: str) -> bool:
    return os.environ.get(name, "").upper() in {"1", "ON", "YES", "TRUE"}


def disabled() -> tuple[str, ...]:
    """Return the names in GELU_PATCH_DISABLE."""
    return tuple(name for part in os.environ.get(DISABLE_VARIABLE, "").split(",") if (name := part.strip()))


def is_disabled(name: str) -> bool:
    """Tell whether somebody turned the kernel, or the way of fusing, off."""
    return name in disabled()


def is_offline() -> bool:
    """Tell whether the Hugging Face libraries were asked to stay offline."""
    return any(_is_set(name) for name in OFFLINE_VARIABLES)


@cache
def git_commit() -> str | None:
    """Return the commit of this checkout, with ``+dirty`` when changed, or None."""
    root = Path(__file__).parent.parent
    if not (root / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(root), "describe", "--always", "--dirty=+dirty", "--exclude=*"]
        found = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return found or None


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


SYSTEM = Path("/sys/devices/system/cpu")


def governor(root: Path = SYSTEM) -> str | None:
    """Return what chooses the clock frequency, such as "performance"; None where that cannot be read."""
    return _line(root / "cpu0/cpufreq/scaling_governor")


def turbo(root: Path = SYSTEM) -> bool | None:
    """Tell whether the processor may run above its nominal frequency; None where that cannot be read."""
    no_turbo, boost = _line(root / "intel_pstate/no_turbo"), _line(root / "cpufreq/boost")
    if no_turbo is not None:
        return no_turbo == "0"
    return None if boost is None else boost == "1"


def heat_events(root: Path = SYSTEM) -> int | None:
    """Return how often cores have slowed down for heat since boot; None where nobody counts it (only Intel's do)."""
    counters = root.glob("cpu[0-9]*/thermal_throttle/core_throttle_count")
    counts = [int(count) for counter in counters if (count := _line(counter) or "").isdigit()]
    return sum(counts) if counts else None


def stolen_share(stat: Path = Path("/proc/stat")) -> float | None:
    """Return the share of processor time since boot that the hypervisor gave to others; None where nobody counts it."""
    fields = (_line(stat) or "").split()[1:]
    # user nice system idle iowait irq softirq steal: proc(5)
    counts = [int(field) for field in fields[:8] if field.isdigit()]
    total = sum(counts)
    return counts[7] / total if len(counts) == 8 and total else None


def _line(path: Path) -> str | None:
    try:
        with path.open(encoding="ascii") as lines:
            return lines.readline().strip()
    except (OSError, ValueError):
        return None


def fingerprint() -> dict[str, Any]:
    """Return the environment as plain data (the ``environment`` section of report schema 1).

    ``threads`` is torch's intra-op thread count, and ``gpu`` lists the CUDA devices; both are read only if
    torch was imported before, otherwise ``threads`` is None and ``gpu`` is empty.
    """
    torch = sys.modules.get("torch")
    gpus: list[str] = []
    if torch is not None and torch.cuda.is_available():
        gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := package_version(name))},
        "os": f"{platform.system()} {platform.release()}",
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads() if torch is not None else None,
        "gpu": gpus,
        "governor": governor(),
        "loadavg": [round(load, 2) for load in os.getloadavg()],
        "env_vars": {name: os.environ[name] for name in ENVIRONMENT_VARIABLES if name in os.environ},
        "offline": is_offline(),
    }
