"""Trackers by Accelerate's names: the steps of a run, shown elsewhere, too."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gelu_patch.errors import MissingExtra
from gelu_patch.training.log import StepRecord
from gelu_patch.training.settings import Tracking

PROJECT = "gelu-patch"


class Trackers:
    """Those of one run; without any, nothing happens."""

    def __init__(self, accelerator: Any, tracking: Tracking, directory: Path, config: Mapping[str, Any]) -> None:
        self._accelerator = accelerator if tracking.report_to != "none" else None
        if self._accelerator is not None:
            accelerator.log_with = [tracking.report_to]
            accelerator.project_configuration.logging_dir = str(directory)
            values = {k: v if isinstance(v, int | float | str | bool) else str(v) for k, v in config.items()}
            accelerator.init_trackers(PROJECT, values)

    def log(self, record: StepRecord) -> None:
        """Show one step."""
        if self._accelerator is not None:
            values = {"loss": record.loss, "grad_norm": record.grad_norm, "learning_rate": record.learning_rate}
            self._accelerator.log({**values, "epoch": record.epoch}, step=record.step)

    def close(self) -> None:
        """Let them write what they hold."""
        for tracker in self._accelerator.trackers if self._accelerator is not None else ():
            tracker.finish()


def check_tracking(tracking: Tracking) -> None:
    """Raise MissingExtra, before anything is loaded, when the tracker is not installed."""
    if tracking.report_to != "none" and importlib.util.find_spec(tracking.report_to) is None:
        raise MissingExtra(
            f"--report_to {tracking.report_to} needs the package {tracking.report_to!r}, which is not installed",
            next_step=f"pip install {tracking.report_to}",
        )
