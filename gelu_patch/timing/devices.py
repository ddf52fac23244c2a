"""Is the device there, and has it finished?"""

from __future__ import annotations

import torch

from gelu_patch.errors import EnvironmentProblem


def require_device(name: str) -> torch.device:
    """Return the device. Raises EnvironmentProblem when it is not there; see ``cli.options.check_device`` for names
    that are none."""
    device = torch.device(name)
    backends = {"cuda": torch.cuda, "xpu": getattr(torch, "xpu", None), "mps": getattr(torch.backends, "mps", None)}
    backend = backends.get(device.type)
    there = device.type == "cpu" or (backend is not None and backend.is_available())
    if there and device.index and device.type in ("cuda", "xpu"):
        there = device.index < backend.device_count()  # type: ignore[union-attr]
    if not there:
        raise EnvironmentProblem(
            f"there is no device {name!r} here",
            why=f"torch {torch.__version__} cannot use it",
            next_step="--device cpu, or run this where the device is; `gelu-patch doctor` lists what torch sees",
        )
    return device


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was given; nothing to do on a CPU."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize(device)
