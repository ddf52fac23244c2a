"""Flags that several verbs share, with the names of the Hugging Face example scripts."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from gelu_patch.environment import OFFLINE_VARIABLES
from gelu_patch.runs.options import Arm as Arm
from gelu_patch.runs.options import Columns as Columns

if TYPE_CHECKING:
    from gelu_patch.reporting.storage.run_folder import RunFolder

Where = Annotated[
    list[str] | None,
    typer.Option("--where", help="Glob on site paths, such as 'encoder.layer.[0-5].*'. May be repeated."),
]
TrustRemoteCode = Annotated[
    bool, typer.Option("--trust_remote_code", help="Run Python code that comes with the checkpoint.")
]
Revision = Annotated[str | None, typer.Option("--revision", help="Branch, tag or commit of a Hub model.")]
Overwrite = Annotated[bool, typer.Option("--overwrite_output_dir", help="Replace the run that --output_dir holds.")]
OutputDir = Annotated[Path | None, typer.Option("--output_dir", help="Folder of the run.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Device = Annotated[str, typer.Option("--device", help="Where: cpu, cuda, ...")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]


def _go_offline(wanted: bool) -> None:
    if wanted:
        # Before any Hugging Face library is imported: they read these variables once.
        os.environ.update(dict.fromkeys(OFFLINE_VARIABLES, "1"))


Offline = Annotated[bool, typer.Option("--offline", callback=_go_offline, is_eager=True, help="Never ask the Hub.")]

# Results go to standard output; progress, notes and errors to standard error.
out = Console(soft_wrap=True, highlight=False, markup=False, width=None if sys.stdout.isatty() else 120)
err = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)


def check_device(name: str) -> None:
    """Raise UsageError when torch knows no such type of device."""
    import torch

    from gelu_patch.errors import UsageError

    try:
        torch.device(name)
    except RuntimeError as error:
        why = str(error).splitlines()[0]
        raise UsageError(f"{name!r} is no device", why=why, next_step="--device cpu") from error


def print_run(run: RunFolder) -> None:
    """Print what a run measured, and where it is."""
    from gelu_patch.reporting.wording import binary_size, place_text

    report = run.report
    for each in report.quality:
        interval = f" [{each.ci[0]:.4f}, {each.ci[1]:.4f}]" if each.ci else ""
        out.print(f"{each.metric:<22} {each.value:.4f}{interval}  n = {each.n}")
    for training in report.training.per_seed if report.training else []:
        if training.final_loss is not None:
            out.print(f"{'final training loss':<22} {training.final_loss:.4f}  {training.steps} steps")
    for memory in report.memory:
        if memory.saved_for_backward_bytes is not None:
            size = binary_size(memory.saved_for_backward_bytes)
            out.print(f"{'saved for backward':<22} {size}  {place_text(memory.phase, memory.shape)}")
    for warning in report.warnings:
        err.print(f"note: {warning}")
    out.print(f"run folder: {run.path}")
