"""``gelu-patch demo``: the whole journey on a real checkpoint and real sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gelu_patch.cli import options


def demo(
    output_dir: Annotated[Path, typer.Option("--output_dir", help="Where the arms and the report go.")] = Path(
        "runs/demo"
    ),
    quick: Annotated[
        bool, typer.Option("--quick", help="A few dozen examples: shows the path, proves nothing.")
    ] = False,
) -> None:
    """Fine-tune MiniLM on Rotten Tomatoes stock, fused and with ReLU, and compare (about seven minutes)."""
    from gelu_patch.demo.journey import run_demo
    from gelu_patch.demo.settings import Settings
    from gelu_patch.runs.progress import ConsoleProgress

    settings = Settings.quick() if quick else Settings()
    run_demo(output_dir, settings=settings, console=options.out, progress=ConsoleProgress(options.err))
